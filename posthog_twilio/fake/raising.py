"""
The exceptions of a request without an answer, as ``requests`` raises them.

Each is a class of ``requests`` around one of urllib3, with the same causes in
the same places, because it is by those that a client tells "never sent" from
"maybe accepted".
"""

from __future__ import annotations

import errno
import http.client
import ssl
from typing import TYPE_CHECKING, Any, TypeVar
from urllib.parse import urlsplit

import requests
from urllib3 import exceptions as urllib3
from urllib3.connectionpool import HTTPSConnectionPool

if TYPE_CHECKING:
    from collections.abc import Callable

    from requests import PreparedRequest

E = TypeVar("E", bound=Exception)


def exception(word: str, request: PreparedRequest) -> Exception:
    """Return what ``requests`` raises where *request* fails in the way called *word*."""
    return _MAKERS[word](request)


def _no_connection(request: PreparedRequest) -> Exception:
    refusal = ConnectionRefusedError(errno.ECONNREFUSED, "Connection refused")
    text = f"Failed to establish a new connection: {refusal}"
    cause = _gave_up(request, _caused(urllib3.NewConnectionError(_pool(request), text), refusal))
    return _caused(requests.ConnectionError(cause, request=request), cause)


def _connect_timeout(request: PreparedRequest) -> Exception:
    late = urllib3.ConnectTimeoutError(_pool(request), "Connection timed out. (connect timeout)")
    cause = _gave_up(request, _caused(late, TimeoutError("timed out")))
    return _caused(requests.ConnectTimeout(cause, request=request), cause)


def _hang(request: PreparedRequest) -> Exception:
    late = urllib3.ReadTimeoutError(_pool(request), request.path_url, "Read timed out.")
    cause = _caused(late, TimeoutError("timed out"))
    return _caused(requests.ReadTimeout(cause, request=request), cause)


def _reset(request: PreparedRequest) -> Exception:
    error = ConnectionResetError(errno.ECONNRESET, "Connection reset by peer")
    cause = _caused(urllib3.ProtocolError("Connection aborted.", error), error)
    return _caused(requests.ConnectionError(cause, request=request), cause)


def _cut(request: PreparedRequest) -> Exception:
    error = http.client.IncompleteRead(b"", 1)
    cause = _caused(urllib3.ProtocolError(f"Connection broken: {error!r}", error), error)
    return _caused(requests.exceptions.ChunkedEncodingError(cause, request=request), cause)


def _tls(request: PreparedRequest) -> Exception:
    return _ssl(request, ssl.SSLEOFError(8, "EOF occurred in violation of protocol"))


def _certificate(request: PreparedRequest) -> Exception:
    return _ssl(request, ssl.SSLCertVerificationError(1, "certificate verify failed"))


def _ssl(request: PreparedRequest, error: ssl.SSLError) -> Exception:
    cause = _gave_up(request, _caused(urllib3.SSLError(error), error))
    return _caused(requests.exceptions.SSLError(cause, request=request), cause)


def _gave_up(request: PreparedRequest, reason: Exception) -> urllib3.MaxRetryError:
    return _caused(urllib3.MaxRetryError(_pool(request), request.path_url, reason), reason)


def _pool(request: PreparedRequest) -> Any:
    """Return a pool that opens nothing; Any, as urllib3 2 wants a connection in some places."""
    target = urlsplit(request.url or "")
    return HTTPSConnectionPool(str(target.hostname), target.port or 443)


def _caused(error: E, cause: Exception) -> E:
    """Chain two exceptions as ``raise error from cause`` would."""
    error.__cause__ = error.__context__ = cause
    return error


_MAKERS: dict[str, Callable[[PreparedRequest], Exception]] = {
    "no connection": _no_connection,
    "connect timeout": _connect_timeout,
    "certificate": _certificate,
    "hang": _hang,
    "reset": _reset,
    "tls": _tls,
    "cut": _cut,
}
