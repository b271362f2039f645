"""Safe file names: what a URL calls its file, made into a name that can do no harm.

``safe_name`` keeps the last part of the URL's path only, and drops whatever could leave the folder, hide the
file, pass for an option, act on a terminal or be special on some system. A name that is too long is cut, with
its ending kept and a hash of the whole put in, so that two long names stay two. ``numbered`` makes room for
equal names.
"""

from __future__ import annotations

import hashlib
import os
import re
import unicodedata

#: What the file is called until it is complete.
PART = ".part"

#: What a file system takes, in bytes of UTF-8 (ext4, xfs, btrfs, APFS; NTFS takes more) ...
LONGEST_ON_DISK = 255

#: ... less the room for ``.part`` and for ``-`` and a number of nine digits.
LONGEST = LONGEST_ON_DISK - len(PART) - 10

#: An ending longer than this (in bytes, with its dot) is not an ending, and is cut like the rest.
LONGEST_ENDING = 20

#: Hex digits of the hash in a cut name: 40 bits, no two of a million equal but one time in two.
HASH_DIGITS = 10

#: The name of a URL that has none, as every web server and wget have it.
NAMELESS = "index.html"

_BIDI_MARKS = frozenset("\u061c\u200e\u200f\u202a\u202b\u202c\u202d\u202e\u2066\u2067\u2068\u2069")
_DROPPED_CATEGORIES = frozenset({"Cc", "Cs", "Zl", "Zp"})  # controls, surrogates, line separators
_WINDOWS_DEVICE = re.compile(
    r"(con|prn|aux|nul|conin\$|conout\$|(com|lpt)[0-9\u00b9\u00b2\u00b3])\s*(\.|$)", re.IGNORECASE
)


def safe_name(text: str) -> str:
    """A safe file name for ``text``, the decoded last part of a URL's path; ``index.html`` if nothing is left."""
    last = re.split(r"[/\\]", unicodedata.normalize("NFC", text))[-1]
    kept = "".join(c for c in last if c != ":" and c not in _BIDI_MARKS and not _is_dropped(c))
    name = kept.lstrip(".- ").rstrip(". ") or NAMELESS
    if _WINDOWS_DEVICE.match(name):
        name = "_" + name
    if name.lower().endswith(PART):
        # Else this file, complete, would stand where another file's part is being written.
        name += "_"
    return _cut(name)


def numbered(name: str, number: int) -> str:
    """The ``number``-th file of this name: ``page.html``, ``page-2.html``; ``.tar.gz`` stays together."""
    if number == 1:
        return name
    stem, ending = _split(name)
    return f"{stem}-{number}{ending}"


def _is_dropped(character: str) -> bool:
    return unicodedata.category(character) in _DROPPED_CATEGORIES


def _split(name: str) -> tuple[str, str]:
    stem, ending = os.path.splitext(name)
    if stem.lower().endswith(".tar"):
        stem, ending = stem[:-4], stem[-4:] + ending
    return stem, ending


def _cut(name: str) -> str:
    whole = name.encode()
    if len(whole) <= LONGEST:
        return name
    stem, ending = _split(name)
    if len(ending.encode()) > LONGEST_ENDING:
        stem, ending = name, ""
    digest = hashlib.sha256(whole).hexdigest()[:HASH_DIGITS]
    room = LONGEST - len(ending.encode()) - len(digest) - 1
    # A cut through a character leaves bytes that are none: ignored.
    return f"{stem.encode()[:room].decode(errors='ignore')}-{digest}{ending}"
