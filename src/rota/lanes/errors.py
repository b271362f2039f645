"""What can go wrong on the way to a lane and back, besides what the function itself raises."""

from __future__ import annotations

from ..errors import RotaError


class ShippingError(RotaError):
    """A function, an argument or a result can't be sent to where it should go: it does not pickle, or not back.

    ``function`` is the function's name, ``what`` the part that can't be sent ("the function", "argument 0", "the
    result"), and ``ran`` whether the call has run: only its result is lost then.
    """

    def __init__(self, function: str, what: str, why: str, *, ran: bool = False) -> None:
        self.function = function
        self.what = what
        self.ran = ran
        super().__init__(f"{function}: {what} can't be sent: {why}")

    def __reduce__(self) -> tuple[object, ...]:
        return _again, (type(self), self.args, self.__dict__)


class WorkerDied(RotaError):  # noqa: N818 - it is named for what happened
    """The worker process that ran a call is gone: killed, out of memory, or ended by the function.

    ``function`` is the function's name, ``item`` a short text of what it was called with, ``reason`` how the worker
    ended. The call had begun, so it is not run again unless retries were asked for.
    """

    def __init__(self, function: str, item: str, reason: str) -> None:
        self.function = function
        self.item = item
        self.reason = reason
        super().__init__(f"the worker that ran {function}({item}) {reason}")

    def __reduce__(self) -> tuple[object, ...]:
        return _again, (type(self), self.args, self.__dict__)


class NoWorkers(RotaError):  # noqa: N818 - it is named for what there is not
    """No worker process can be started, and there is none: nothing has run."""


class ClusterError(RotaError):
    """A cluster can't be used: nobody there, or versions that don't go together. The text names the address."""


class ClusterLost(ClusterError):  # noqa: N818 - it is named for what happened
    """The connection to the scheduler broke or was closed, or Dask gave the work up. What ran may go on there, and
    nobody gets it.
    """


class RemoteError(RotaError):
    """An exception of the function that can't come back as itself: it does not pickle, or not back.

    ``function`` is the call, ``name(item)``, ``kind`` the name of the exception's class, ``message`` its text.
    """

    def __init__(self, function: str, kind: str, message: str) -> None:
        self.function = function
        self.kind = kind
        self.message = message
        said = f"{kind}: {message}" if message else kind
        super().__init__(f"{function} raised {said} (which can't be sent as itself)")

    def __reduce__(self) -> tuple[object, ...]:
        return _again, (type(self), self.args, self.__dict__)


class RemoteTraceback(Exception):  # noqa: N818 - what it is, as concurrent.futures' _RemoteTraceback
    """Where an exception was raised in another process, as text: the ``__cause__`` of the exception that came back."""

    def __init__(self, text: str) -> None:
        self.text = text
        super().__init__(text)

    def __str__(self) -> str:
        return f'\n"""\n{self.text}"""'


def _again(kind: type[RotaError], args: tuple[object, ...], fields: dict[str, object]) -> RotaError:
    """An exception of this room after it was pickled: the text is made of the fields, not the other way round."""
    error = kind.__new__(kind, *args)
    error.__dict__.update(fields)
    return error
