"""The fake itself: an HTTP client that never opens a connection."""

from __future__ import annotations

import logging
import threading
import time
from collections import defaultdict, deque
from typing import TYPE_CHECKING, Any, cast

import requests
from requests.structures import CaseInsensitiveDict
from twilio.http import HttpClient
from twilio.http.response import Response

from posthog_twilio.fake import failures, raising
from posthog_twilio.fake.account import ROUTES, Account, route
from posthog_twilio.fake.wire import Request

if TYPE_CHECKING:
    from collections.abc import Callable, Collection

    from posthog_twilio.fake.resources import AcceptedMessage
    from posthog_twilio.fake.wire import Reply


class FakeTwilio(HttpClient):  # type: ignore[misc]  # the SDK has no types
    """
    A Twilio account for tests: the real SDK runs against it, with no network.

    Hand it to :func:`~posthog_twilio.setup_plugin`, or to the SDK itself:

    >>> from twilio.rest import Client
    >>> fake = FakeTwilio()
    >>> client = Client("AC" + "0" * 32, "any token", http_client=fake)
    >>> message = client.messages.create(to="+15550100001", from_="+15550100002", body="Hi")
    >>> message.status
    'queued'
    >>> fake.outbox[0].body
    'Hi'
    >>> fake.outbox[0].sid == message.sid
    True

    It checks credentials, the account in the path and the parameters as Twilio
    does, plays the magic numbers of Twilio's test credentials, and answers
    message create, list and fetch, account fetch, the list of phone numbers and
    Messaging Service fetch.  What comes next is scripted with :meth:`fail`.
    Any number of threads may share it.

    Args:
        account_sid: the only account there is; any other is 401 in the
            credentials, 404 in a path.  None takes every well-formed SID.
        auth_token: the only password (or API key secret); None takes any.
        senders: the numbers, channel addresses and Messaging Services that the
            account owns; any other is refused (21606, 21701).  None owns all.
        clock: the time in seconds since 1970.
        list_delay: seconds until the message list shows a new message.
        on_request: called with each :class:`Request` before anything happens to
            it, outside the lock: hold it with a Barrier, turn a clock, raise.

    """

    def __init__(
        self,
        *,
        account_sid: str | None = None,
        auth_token: str | None = None,
        senders: Collection[str] | None = None,
        # Bound late, so that a clock frozen by the test is the one that is read.
        clock: Callable[[], float] = lambda: time.time(),
        list_delay: float = 0.0,
        on_request: Callable[[Request], object] | None = None,
    ) -> None:
        super().__init__(logging.getLogger("twilio.http_client"), is_async=False)
        self.on_request = on_request
        self._account = Account(
            sid=account_sid,
            auth_token=auth_token,
            senders=None if senders is None else frozenset(senders),
            clock=clock,
            list_delay=list_delay,
        )
        self._requests: list[Request] = []
        self._script: dict[str, deque[failures.Failure]] = defaultdict(deque)
        self._lock = threading.Lock()

    def __repr__(self) -> str:
        return f"FakeTwilio(outbox={len(self.outbox)}, requests={len(self.requests)})"

    @property
    def outbox(self) -> list[AcceptedMessage]:
        """The accepted messages, oldest first; also those whose answer was lost."""
        with self._lock:
            return list(self._account.outbox)

    @property
    def requests(self) -> list[Request]:
        """Every request made, whatever became of it, oldest first."""
        with self._lock:
            return list(self._requests)

    def reset(self) -> None:
        """Forget all messages, requests and scripted failures."""
        with self._lock:
            self._account.outbox.clear()
            self._requests.clear()
            self._script.clear()

    def fail(
        self,
        what: int | str,
        *,
        times: int = 1,
        accepted: bool = False,
        on: str = "create",
        code: int | None = None,
        message: str | None = None,
        body: str | None = None,
        retry_after: float | str | None = None,
    ) -> None:
        """
        Script what comes next; several calls queue up, each kind of request by itself.

        >>> fake = FakeTwilio()
        >>> fake.fail(429, retry_after=2)              # then
        >>> fake.fail("hang", accepted=True)           # then all is well again

        Args:
            what: an HTTP status from 400 to 599, or a word.  Never sent:
                ``"no connection"``, ``"connect timeout"``, ``"certificate"``.
                Lost on the way: ``"hang"`` (the read times out, at once),
                ``"reset"``, ``"tls"``.  A success whose body is ``"broken"`` (no
                JSON), ``"empty"``, or ``"cut"`` (the connection ends in it).
            times: for how many requests, 1 or more.
            accepted: the request is handled, the message reaches the outbox, and
                only then it fails.  A spoilt success always is.
            on: the kind of request: ``create``, ``list``, ``fetch``,
                ``account``, ``numbers`` or ``service``.
            code: Twilio's error code; needed where a status has many, as 400.
            message: Twilio's sentence.
            body: the whole body instead, for answers that are not Twilio's.
            retry_after: the header of that name, seconds or an HTTP date.

        Raises:
            ValueError: there is no such failure.

        """
        if on not in ROUTES:
            raise ValueError(f"on: expected one of {', '.join(ROUTES)}, got {on!r}")
        if type(times) is not int or times < 1:
            raise ValueError(f"times: expected a whole number from 1, got {times!r}")
        answer = {"code": code, "message": message, "body": body, "retry_after": retry_after}
        failure = failures.parse(what, accepted=accepted, on=on, **answer)
        with self._lock:
            self._script[on].extend([failure] * times)

    def request(
        self,
        method: str,
        url: str,
        params: dict[str, object] | None = None,
        data: dict[str, object] | None = None,
        headers: dict[str, str] | None = None,
        auth: tuple[str, str] | None = None,
        timeout: float | None = None,  # noqa: ARG002
        allow_redirects: bool = False,  # noqa: ARG002
    ) -> Response:
        """
        Answer the SDK, or raise what ``requests`` raises.

        The request is encoded by ``requests`` itself, so that what cannot be
        sent (a lone surrogate in a text) fails here just as well.
        """
        prepared = requests.Request(
            method,
            url,
            headers=headers,
            params=cast("Any", params),
            data=cast("Any", data),
            auth=auth,
        ).prepare()
        reply = self.answer(
            Request.parse(
                method,
                str(prepared.url),
                cast("str | None", prepared.headers.get("Authorization")),
                cast("str | None", prepared.body),
            )
        )
        if reply.failure:
            raise raising.exception(reply.failure, prepared)
        return Response(reply.status, reply.body, CaseInsensitiveDict(reply.headers))

    def answer(self, request: Request) -> Reply:
        """Handle one request as read off the wire; for servers around a fake."""
        if self.on_request:
            self.on_request(request)
        kind, _ = route(request)
        with self._lock:
            self._requests.append(request)
            script = self._script[kind]
            failure = script.popleft() if script else None
            if failure and not failure.accepted:
                return failure.reply
            reply = self._account.handle(request)
        return failure.answer(reply) if failure else reply
