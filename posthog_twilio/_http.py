"""
An HTTP client for Twilio's SDK that a long-lived, threaded service can trust.

The SDK's own waits for ever by default, keeps each response on itself, and may
write a POST into a connection that died while idle.  This one always has time
limits, gives each session to one thread at a time, and lets idle ones go.
"""

from __future__ import annotations

import os
import time
from typing import TYPE_CHECKING, Any

from attrs import field, frozen

from posthog_twilio.locks import fork_safe_lock

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping

    from requests import Session

CONNECT = 3.05
"""Seconds to connect; a little over a multiple of TCP's 3 s retransmission window."""
READ = 30.0
"""Seconds without an answer.  Twilio itself gives up after about as long; less makes doubt."""
BODY = 5.0
"""Seconds for the rest of an answer once its status is in: the status decides."""
IDLE = 50.0
"""Seconds after which a connection may have died silently and is not used again."""
_BODY_BYTES = 1 << 20


@frozen
class Reply:
    """An HTTP response in the form that the SDK reads."""

    status_code: int
    text: str = field(repr=False)
    headers: Mapping[str, str] = field(repr=False)

    @property
    def content(self) -> str:
        """The same as :attr:`text`, as in the SDK's own response."""
        return self.text

    @property
    def ok(self) -> bool:
        """Whether the status is no error, as in the SDK's own response."""
        return self.status_code < 400


class PooledHttpClient:
    """
    The SDK's ``HttpClient``, over sessions that are never shared between threads.

    Args:
        timer: seconds, monotonic.

    """

    def __init__(self, timer: Callable[[], float] | None = None) -> None:
        self._timer = timer or (lambda: time.monotonic())
        self._lock = fork_safe_lock()
        self._idle: list[tuple[float, Session]] = []
        self._pid = os.getpid()

    def request(
        self,
        method: str,
        url: str,
        params: Mapping[str, object] | None = None,
        data: Mapping[str, object] | None = None,
        headers: Mapping[str, str] | None = None,
        auth: tuple[str, str] | None = None,
        timeout: float | None = None,
        allow_redirects: bool = False,
    ) -> Reply:
        """
        Send one request, once.

        Once the status is in, this returns: a body that breaks off or drips
        is cut, since the status alone says whether Twilio accepted.

        Raises:
            requests.RequestException: when no status came.

        """
        from urllib3 import Timeout

        seconds = timeout or READ
        # The total counts where a name has several addresses that do not answer.
        limits = Timeout(total=CONNECT + seconds, connect=CONNECT, read=seconds)
        session = self._take()
        try:
            with session.request(
                method,
                url,
                params=params,  # type: ignore[arg-type]
                data=data,
                headers={**(headers or {}), "Accept-Encoding": "identity"},
                auth=auth,
                timeout=limits,  # type: ignore[arg-type]
                allow_redirects=allow_redirects,
                stream=True,
            ) as response:
                reply = Reply(response.status_code, self._body(response.raw), response.headers)
        except BaseException:
            session.close()
            raise
        self._give_back(session)
        return reply

    def close(self) -> None:
        """Close the idle connections; those in use close when they are given back."""
        with self._lock:
            stale, self._idle = self._idle, []
        for _, session in stale:
            session.close()

    def _take(self) -> Session:
        """Return the session used last, unless it idled too long; the rest idled longer."""
        with self._lock:
            if self._pid != os.getpid():  # sockets of the parent: not ours to close
                self._idle, self._pid = [], os.getpid()
            if self._idle and self._timer() - self._idle[-1][0] < IDLE:
                return self._idle.pop()[1]
        self.close()
        from requests import Session

        return Session()

    def _give_back(self, session: Session) -> None:
        with self._lock:
            self._idle.append((self._timer(), session))

    def _body(self, raw: Any) -> str:
        """Read what comes in a few seconds; never fail."""
        from urllib3.exceptions import HTTPError

        _limit_reads(raw, BODY)
        read1 = getattr(raw, "read1", None) or raw._fp.read1  # noqa: SLF001 - urllib3 before 2.1
        until, chunks, size = self._timer() + BODY, [], 0
        try:
            while chunk := read1(1 << 16):
                chunks.append(chunk)
                size += len(chunk)
                if size > _BODY_BYTES or self._timer() > until:
                    break
        except (HTTPError, OSError):
            pass
        return b"".join(chunks).decode("utf-8", "replace")


def _limit_reads(raw: Any, seconds: float) -> None:
    """Shorten the socket's time limit, where urllib3 still shows the socket."""
    sock = getattr(raw.connection, "sock", None)
    if sock is not None:
        sock.settimeout(seconds)
