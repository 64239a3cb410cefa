"""
The last hop: a message in, what Twilio said out.

The only module that knows Twilio's SDK, which it imports when the first
message goes out: the import costs more than matching a million events.

What an answer means is read from the HTTP status first and refined by the
codes we know, since Twilio adds codes without notice.  Messages has no
idempotency key, so the one question that matters is whether Twilio may have
accepted the message; see :class:`Verdict`.
"""

from __future__ import annotations

import json
import logging
import random
import time
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from contextvars import ContextVar
from datetime import datetime
from enum import Enum
from typing import Any, Protocol

from attrs import field, frozen

from posthog_twilio._http import READ, PooledHttpClient
from posthog_twilio.codes import ADVICE, ADVICE_BY_STATUS, HOURS_AWAY, NOT_PROCESSED
from posthog_twilio.phone import mask

BACK_OFF = (0.25, 0.5, 1.0)
"""Seconds before each retry of what surely was not processed; 10 % jitter is added."""
LOOK_UP = 4.0
"""Seconds to wait for an answer when looking through the message list."""
FOREIGN = 20.0
"""Seconds for a client that was handed in without a limit, to connect and to read, each."""
_NEWEST = 100
_TRIAL = "Sent from your Twilio trial account - "
_quiet: ContextVar[bool] = ContextVar("posthog_twilio_quiet", default=False)


class Verdict(Enum):
    """What surely, or perhaps, became of a request."""

    ACCEPTED = "accepted"
    IN_DOUBT = "in doubt"
    """Twilio may have accepted it: no answer came, or a 5xx did."""
    REFUSED = "refused"
    NOT_PROCESSED = "not processed"
    """No connection, or HTTP 429: sending once more cannot send twice."""


@frozen(kw_only=True)
class Message:
    """What goes out; the repr shows neither number nor text."""

    sender: str = field(repr=mask)
    recipient: str = field(repr=mask)
    body: str = field(repr=False)


@frozen
class Answer:
    """What Twilio said; *wait* is the seconds after which it wants to be asked again."""

    verdict: Verdict
    sid: str | None = None
    code: int | None = None
    reason: str | None = None
    wait: float | None = None


class Unreadable(Exception):
    """Raised when Twilio's message list, or another resource, could not be read."""


class Transport(Protocol):
    """What the flow asks of the last hop."""

    def send(self, message: Message, until: float) -> Answer:
        """Send *message*; start no attempt once the timer shows more than *until*."""
        ...

    def find(self, message: Message, same: Callable[[str], bool], since: datetime) -> str | None:
        """Return the SID of a message like this one created after *since*, or None."""
        ...

    def pause(self, seconds: float) -> None:
        """Let some time go by."""
        ...

    def close(self) -> None:
        """Close connections; safe to call twice."""
        ...


class TwilioTransport:
    """
    Sends through Twilio's official SDK.  Shared freely between threads.

    Args:
        account_sid: the account that sends and pays.
        username: the account's SID, or an API key's.
        password: the account's token, or the key's secret.
        base_url: where the API is; None is Twilio's own.
        http_client: the SDK's seam; None is a pool with time limits.
        timer: seconds, monotonic.
        sleep: waits for some seconds.

    """

    def __init__(
        self,
        account_sid: str,
        username: str,
        password: str,
        base_url: str | None = None,
        http_client: Any = None,
        *,
        timer: Callable[[], float] = lambda: time.monotonic(),
        sleep: Callable[[float], None] = lambda seconds: time.sleep(seconds),
    ) -> None:
        self._account_sid = account_sid
        self._auth = (username, password)
        self._base_url = base_url
        self._own = None if http_client is not None else PooledHttpClient()
        self._http = http_client if http_client is not None else self._own
        self._timer = timer
        self.pause = sleep

    def send(self, message: Message, until: float) -> Answer:
        """
        Send *message*, and again with back-off while it surely was not processed.

        Args:
            message: what to send to whom.
            until: no attempt starts once the timer shows more than this.

        """
        if self._timer() > until:
            return Answer(Verdict.NOT_PROCESSED, reason="claiming left no time to send safely")
        answer = self._attempt(message)
        for back_off in BACK_OFF:
            if answer.verdict is not Verdict.NOT_PROCESSED or answer.code in HOURS_AWAY:
                break
            wait = max(back_off * random.uniform(1, 1.1), answer.wait or 0)  # noqa: S311
            if self._timer() + wait > until:
                break
            self.pause(wait)
            answer = self._attempt(message)
        return answer

    def find(self, message: Message, same: Callable[[str], bool], since: datetime) -> str | None:
        """
        Look for *message* among those created for its recipient after *since*.

        Sender, body and time are compared here, since Twilio's list filters
        by neither body nor creation.  A hit proves that it was accepted; that
        there is none proves little while the list lags behind.

        Raises:
            Unreadable: when Twilio did not give the list.

        """
        for found in self._newest(message.recipient):
            recent = found.date_created is None or found.date_created > since
            sender = (found.from_, found.messaging_service_sid)
            body = str(found.body or "").removeprefix(_TRIAL)
            if recent and message.sender in sender and same(body):
                return str(found.sid)
        return None

    def account(self) -> Mapping[str, Any]:
        """
        Fetch the account: the cheapest proof that the credentials work.

        Raises:
            Unreadable: with what to mend as its text.

        """
        account = self._read(lambda client: client.api.v2010.accounts(self._account_sid).fetch())
        return {"status": account.status, "type": account.type, "name": account.friendly_name}

    def owns(self, sender: str) -> bool:
        """
        Tell whether *sender*, a number or Messaging Service, is the account's.

        Raises:
            Unreadable: when Twilio did not say.

        """
        if sender.startswith("MG"):
            return bool(self._read(lambda client: _service(client, sender)))
        numbers = self._read(
            lambda client: client.incoming_phone_numbers.list(phone_number=sender, limit=1)
        )
        return bool(numbers)

    def close(self) -> None:
        """Close our own connections; a client that was handed in stays open."""
        if self._own:
            self._own.close()

    def _attempt(self, message: Message) -> Answer:
        service = message.sender.startswith("MG")
        call = _Call(self._http, READ)
        try:
            sent = self._client(call).messages.create(
                to=message.recipient,
                body=message.body,
                **{"messaging_service_sid" if service else "from_": message.sender},
            )
        except Exception as error:  # noqa: BLE001 - whatever it is, only the request's fate counts
            return judge(call, error)
        return Answer(Verdict.ACCEPTED, _text(sent.sid))

    def _newest(self, recipient: str) -> Iterator[Any]:
        """Yield messages to *recipient*, newest first; one request, however many there are."""
        return iter(
            self._read(
                lambda client: client.messages.list(to=recipient, limit=_NEWEST, page_size=_NEWEST)
            )
        )

    def _read(self, ask: Callable[[Any], Any]) -> Any:
        call = _Call(self._http, LOOK_UP)
        try:
            return ask(self._client(call))
        except Exception as error:
            raise Unreadable(judge(call, error).reason or _name(error)) from error

    def _client(self, call: _Call) -> Any:
        """Make a client for one call: 40 µs, and no response is shared between threads."""
        from twilio.rest import Client

        # With an empty mapping the SDK would read credentials and edge from os.environ.
        client = Client(*self._auth, self._account_sid, http_client=call, environment={"_": ""})
        if self._base_url:
            client.api.base_url = self._base_url
            client.messaging.base_url = self._base_url.replace("://api.", "://messaging.", 1)
        return client


class _Call:
    """The SDK's HTTP seam around one call: remembers how far it came."""

    def __init__(self, http: Any, seconds: float) -> None:
        self._http = http
        self._seconds = seconds
        self.started = False
        self.response: Any = None

    def request(self, method: str, url: str, **options: Any) -> Any:
        options["timeout"] = self._limit()
        self.started = True
        with _silence():
            self.response = self._http.request(method, url, **options)
        return self.response

    def _limit(self) -> float | None:
        """Never wait for ever, nor past the lease; a client's own shorter limit is its affair."""
        if isinstance(self._http, PooledHttpClient):
            return self._seconds
        theirs = getattr(self._http, "timeout", None)
        parts = theirs if isinstance(theirs, tuple) else (theirs,)
        shorter = all(isinstance(part, int | float) and part <= self._seconds for part in parts)
        return None if shorter else min(self._seconds, FOREIGN)


def judge(call: Any, error: Exception) -> Answer:
    """
    Say what became of a call that ended in *error*.

    Args:
        call: has ``started`` and ``response``, the HTTP response or None.
        error: what the SDK, or the HTTP client below it, raised.

    """
    if call.response is not None:
        return _judge_response(call.response)
    if not call.started:
        return Answer(Verdict.NOT_PROCESSED, reason=f"nothing was asked of Twilio: {_name(error)}")
    if cause := _never_left(error):
        return Answer(Verdict.NOT_PROCESSED, reason=f"no connection to Twilio: {_name(cause)}")
    return Answer(Verdict.IN_DOUBT, reason=f"Twilio's answer was lost: {_name(error)}")


def _judge_response(response: Any) -> Answer:
    status, said = response.status_code, _json(response)
    if 200 <= status < 300:
        return Answer(Verdict.ACCEPTED, sid=_text(said.get("sid")))
    code = said.get("code") if type(said.get("code")) is int else status
    reason = _reason(status, code, said.get("message"))
    if status >= 500 or status < 200:
        return Answer(Verdict.IN_DOUBT, code=code, reason=reason)
    if status == 429 or code in NOT_PROCESSED:
        return Answer(Verdict.NOT_PROCESSED, code=code, reason=reason, wait=_retry_after(response))
    return Answer(Verdict.REFUSED, code=code, reason=reason)


def _json(response: Any) -> Mapping[str, Any]:
    try:
        said = json.loads(response.text)
    except (ValueError, TypeError, RecursionError):
        return {}
    return said if isinstance(said, dict) else {}


def _text(value: Any) -> str | None:
    return value if isinstance(value, str) and value else None


def _reason(status: int, code: Any, said: Any) -> str:
    advice = ADVICE.get(code) or ADVICE_BY_STATUS.get(status) or _text(said)
    if advice is None:
        advice = "redirected; check apiBaseURL" if 300 <= status < 400 else "no reason given"
    return f"HTTP {status}" + (f", code {code}: " if code != status else ": ") + mask(advice)


def _retry_after(response: Any) -> float | None:
    """Read ``Retry-After`` in seconds, whatever its case; a date counts as absent."""
    headers = {str(k).lower(): v for k, v in dict(getattr(response, "headers", None) or {}).items()}
    try:
        return max(0.0, float(headers["retry-after"]))
    except (KeyError, TypeError, ValueError):
        return None


def _never_left(error: BaseException) -> BaseException | None:
    """
    Return what proves that no request reached anybody, if anything does.

    Only what happens before a request is written counts.  Any other TLS
    error does not: a broken handshake and a break after the POST look alike.
    """
    from socket import gaierror
    from ssl import SSLCertVerificationError

    from requests import exceptions as theirs
    from urllib3.exceptions import ConnectTimeoutError, NewConnectionError, ProxyError

    proofs = (
        *(ConnectTimeoutError, NewConnectionError, ProxyError),
        *(theirs.ConnectTimeout, theirs.ProxyError),
        *(theirs.InvalidSchema, theirs.InvalidURL, theirs.MissingSchema),  # a proxy's, for one
        *(gaierror, SSLCertVerificationError, ConnectionRefusedError, UnicodeEncodeError),
    )
    return next((cause for cause in _causes(error) if isinstance(cause, proofs)), None)


def _causes(error: BaseException) -> Iterator[BaseException]:
    """Yield *error* and what it wraps: its cause, its arguments, urllib3's ``reason``."""
    seen: set[int] = set()
    queue: list[Any] = [error]
    while queue:
        cause = queue.pop()
        if isinstance(cause, BaseException) and id(cause) not in seen:
            seen.add(id(cause))
            queue += (cause.__cause__, getattr(cause, "reason", None), *cause.args)
            yield cause


def _service(client: Any, sid: str) -> bool:
    from twilio.base.exceptions import TwilioRestException

    try:
        client.messaging.v1.services(sid).fetch()
    except TwilioRestException as error:
        if error.status == 404:
            return False
        raise
    return True


def _name(error: BaseException) -> str:
    """Name an error by its type alone: its text may hold numbers, SIDs and URLs."""
    return type(error).__name__


@contextmanager
def _silence() -> Iterator[None]:
    """Keep the loggers of the SDK and of urllib3 from writing SIDs and numbers."""
    for name in ("twilio.http_client", "urllib3.connectionpool", "urllib3.util.retry"):
        logging.getLogger(name).addFilter(_is_loud)  # a filter is added once only
    token = _quiet.set(True)
    try:
        yield
    finally:
        _quiet.reset(token)


def _is_loud(_: logging.LogRecord) -> bool:
    return not _quiet.get()
