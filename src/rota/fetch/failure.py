"""Why a URL did not arrive: in words, by kind, and whether another try is worth it.

Everything that the network or the server can do to a try is turned into a ``TryError`` here. Worth another
try is what may be over in a moment: a status that says so, a connection that was lost, a body that was cut
short, a timeout, a name server that does not answer. A refused connection, an unknown host, a certificate
that is not trusted or another 4xx will be the same next time. The URL never stands in the words: it may hold
a password.
"""

from __future__ import annotations

import errno
import os
import socket

import aiohttp

#: The statuses that promise nothing for the next try to fail on: timeouts, too early, too many, and a server
#: (or the proxy before it) in trouble.
PASSING = frozenset({408, 425, 429, 500, 502, 503, 504})

#: What connect() says when there is no way to the host now; a network that comes back needs longer than our
#: waits.
UNREACHABLE = frozenset({errno.ENETUNREACH, errno.EHOSTUNREACH, errno.EADDRNOTAVAIL})


class TryError(Exception):
    """One try that failed.

    ``kind`` names the class of error, for counting; ``again`` says that another try is worth it; ``status``
    is the HTTP status if there was an answer, and ``retry_after`` its header of that name.
    """

    def __init__(
        self,
        kind: str,
        text: str,
        *,
        again: bool = False,
        status: int | None = None,
        retry_after: str | None = None,
    ) -> None:
        super().__init__(text)
        self.kind = kind
        self.again = again
        self.status = status
        self.retry_after = retry_after


def of_status(status: int, reason: str | None, retry_after: str | None) -> TryError:
    """The failure that an answer with this ``status`` is."""
    # The reason is the server's own text: on a terminal its control characters must not act.
    words = "".join(c for c in reason or "" if c.isprintable())
    return TryError(
        f"HTTP {status}",
        f"HTTP {status} {words}".rstrip(),
        again=status in PASSING,
        status=status,
        retry_after=retry_after,
    )


def of_error(error: Exception) -> TryError:
    """The failure that this exception of aiohttp, or of the sockets below it, is."""
    match error:
        case aiohttp.TooManyRedirects():
            return TryError("too many redirects", "redirected too often", status=error.status or None)
        case aiohttp.RedirectClientError():
            return TryError("bad redirect", "redirected to what is not an http:// or https:// URL")
        case aiohttp.InvalidURL():
            return TryError("bad URL", "not a URL")
        case aiohttp.ClientConnectorCertificateError():
            return TryError("certificate", f"the certificate is not trusted: {error.certificate_error}")
        case aiohttp.ClientSSLError():
            return TryError("TLS", f"no secure connection: {error.os_error}")
        case aiohttp.ClientConnectorDNSError():
            return _of_resolving(error.os_error)
        case aiohttp.ClientPayloadError():
            return TryError("cut short", "the body was cut short", again=True)
        case aiohttp.ClientResponseError():
            return TryError("bad answer", "the answer is not valid HTTP")
        case TimeoutError():
            return TryError("timeout", "timed out", again=True)
        case OSError(errno=errno.ECONNREFUSED):
            return TryError("refused", "connection refused")
        case OSError(errno=errno.EMFILE | errno.ENFILE):
            # Connections that are kept open after their last use are closed within seconds.
            text = "too many open files: lower the concurrency, or raise the limit with ulimit -n"
            return TryError("too many open files", text, again=True)
        case OSError(errno=code) if code in UNREACHABLE:
            return TryError("unreachable", f"the host can't be reached: {os.strerror(code)}")
        case _:
            return TryError("connection lost", "the connection was lost", again=True)


def _of_resolving(error: OSError) -> TryError:
    if isinstance(error, socket.gaierror) and error.errno != socket.EAI_AGAIN:
        return TryError("unknown host", "no such host")
    return TryError("no DNS", "the name server does not answer", again=True)
