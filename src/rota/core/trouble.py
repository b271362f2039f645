"""Where an exception goes that nobody awaits: the loop's exception handler.

A callback that raised, a future whose exception was never looked at, a task that was dropped while it waited: each
comes here as a dictionary with a ``message`` and what it is about, in asyncio's words, since programs and log filters
match on those.
"""

from __future__ import annotations

import traceback
from asyncio.log import logger
from collections.abc import Callable
from typing import Any

from .turn import LoopCore

Handler = Callable[[Any, dict[str, Any]], object]


class ExceptionHandler(LoopCore):
    """The exception handler of a loop."""

    def __init__(self, *args: Any) -> None:
        self._exception_handler: Handler | None = None
        super().__init__(*args)

    def get_exception_handler(self) -> Handler | None:
        """The handler that was set, or None for the default one."""
        return self._exception_handler

    def set_exception_handler(self, handler: Handler | None) -> None:
        """Give exceptions that nobody awaits to ``handler(loop, context)``, or to the log again with None."""
        if handler is not None and not callable(handler):
            raise TypeError(f"A callable object or None is expected, got {handler!r}")
        self._exception_handler = handler

    def default_exception_handler(self, context: dict[str, Any]) -> None:
        """Write ``context`` to asyncio's logger, with the exception's traceback."""
        message = context.get("message") or "Unhandled exception in event loop"
        exception = context.get("exception")
        lines = [message]
        for key in sorted(context):
            if key in ("message", "exception"):
                continue
            value = context[key]
            if key in ("source_traceback", "handle_traceback"):
                where = "Object" if key == "source_traceback" else "Handle"
                stack = "".join(traceback.format_list(value)).rstrip()
                text = f"{where} created at (most recent call last):\n{stack}"
            else:
                text = repr(value)
            lines.append(f"{key}: {text}")
        logger.error(
            "\n".join(lines),
            exc_info=(type(exception), exception, exception.__traceback__) if exception is not None else False,
        )

    def call_exception_handler(self, context: dict[str, Any]) -> None:
        """Give ``context`` to the handler. A handler that raises is reported too; nothing but
        KeyboardInterrupt and SystemExit leaves here.
        """
        handler = self._exception_handler
        if handler is None:
            self._report(context)
            return
        try:
            # As in asyncio since Python 3.12: in the context of what it is about.
            about = context.get("task") or context.get("future") or context.get("handle")
            if about is not None and hasattr(about, "get_context"):
                about.get_context().run(handler, self, context)
            else:
                handler(self, context)
        except (SystemExit, KeyboardInterrupt):
            raise
        except BaseException as error:
            self._report(
                {
                    "message": "Unhandled error in exception handler",
                    "exception": error,
                    "context": context,
                },
                " while handling an unexpected error in custom exception handler",
            )

    def _report(self, context: dict[str, Any], when: str = "") -> None:
        try:
            self.default_exception_handler(context)
        except (SystemExit, KeyboardInterrupt):
            raise
        except BaseException:
            # A subclass's default handler, or the repr of what it was given, failed. Say that and go on.
            logger.error(f"Exception in default exception handler{when}", exc_info=True)
