"""One URL to fetch: checked, with the host that it counts against and the name that its file asks for.

Only http and https. A user name and password in a URL are used for the request and never shown.
"""

from __future__ import annotations

import re
from dataclasses import dataclass

from yarl import URL

from .failure import TryError
from .name import safe_name

_SCHEMES = frozenset({"http", "https"})
_CREDENTIALS = re.compile(r"(?<=//)[^/?#]*@")
_ANYTHING_LIKE_CREDENTIALS = re.compile(r"^.*@")


@dataclass(frozen=True, slots=True)
class Address:
    """One URL: ``shown`` for people and logs, the ``host`` (and port) that limits count by, and the safe ``name``
    of its file.
    """

    url: URL
    shown: str
    host: str
    name: str


def parse(text: str) -> Address:
    """The address that ``text`` is; ``TryError`` if it is not a whole http or https URL."""
    try:
        url = URL(text)
        host, port = url.host, url.port
    except ValueError as error:
        raise TryError("bad URL", "not a URL") from error
    if url.scheme not in _SCHEMES:
        raise TryError("bad URL", "not a whole http:// or https:// URL")
    if not host:
        raise TryError("bad URL", "a URL without a host")
    return Address(url, shown(text), f"{host}:{port}", safe_name(url.name))


def shown(text: str) -> str:
    """``text`` without its user name and password, and harmless on a terminal."""
    return _printable(_CREDENTIALS.sub("***@", text))


def shown_bad(text: str) -> str:
    """The same for what is no URL, where all before an ``@`` may be a password."""
    return _printable(_ANYTHING_LIKE_CREDENTIALS.sub("***@", text))


def _printable(text: str) -> str:
    return "".join(c if c.isprintable() else c.encode("unicode_escape").decode() for c in text)
