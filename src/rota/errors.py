"""The exceptions that several rooms of rota raise, with their wording; a room's own stand in the room.

An exception builds its text from its fields, so that a program can read the fields and a person the text. What
asyncio has a class or a wording for keeps it (``RuntimeError("Event loop is closed")``): programs match on those.
"""

from __future__ import annotations


class RotaError(Exception):
    """The root of rota's own exceptions: a person's mistake or the world's, never a bug in rota."""


class UsageError(RotaError):
    """What was asked for can't be done as asked. The text is one line: what was wrong and what to do."""


class MissingExtra(RotaError):  # noqa: N818 - it is named for what is missing
    """An optional part of rota was used and the library it stands on is not installed.

    ``feature`` is what was asked for, ``module`` the library, ``extra`` the name that installs it.
    """

    def __init__(self, feature: str, module: str, extra: str) -> None:
        self.feature = feature
        self.module = module
        self.extra = extra
        super().__init__(f"{feature} needs {module}: pip install 'rota[{extra}]'")
