"""How a request may be scripted to fail."""

from __future__ import annotations

import json
from typing import Any

from attrs import evolve, frozen

from posthog_twilio.fake.rules import MESSAGES
from posthog_twilio.fake.wire import Reply

NEVER_SENT = ("no connection", "connect timeout", "certificate")
LOST = ("hang", "reset", "tls")
SPOILT = ("broken", "empty", "cut")
WORDS = (*NEVER_SENT, *LOST, *SPOILT)

CODES = {401: 20003, 403: 20403, 404: 20404, 422: 20422, 429: 20429, 500: 20500, 503: 20503}
HTML = {502: "Bad Gateway", 504: "Gateway Time-out"}
"""Statuses that a proxy in front of Twilio answers, in HTML, unless a code is given."""


@frozen(kw_only=True)
class Failure:
    """One entry of a script: the reply to give, and whether the message counts."""

    reply: Reply
    accepted: bool

    def answer(self, honest: Reply) -> Reply:
        """Return what the client gets to see where Twilio itself answered *honest*."""
        word = self.reply.failure
        if word == "cut":
            return evolve(honest, failure=word)
        if word == "broken":
            return evolve(honest, body=honest.body[: len(honest.body) // 2])
        return evolve(honest, body="") if word == "empty" else self.reply


def parse(what: int | str, *, accepted: bool, on: str, **answer: Any) -> Failure:
    """
    Turn the arguments of :meth:`FakeTwilio.fail` into a :class:`Failure`.

    Raises:
        ValueError: a failure that does not exist; says which ones do.

    """
    words = {name: value for name, value in answer.items() if value is not None}
    if isinstance(what, str):
        if what not in WORDS:
            raise ValueError(
                f"what: expected an HTTP status from 400 to 599 or one of "
                f"{', '.join(map(repr, WORDS))}, got {what!r}"
            )
        if words:
            raise ValueError(f"{', '.join(words)}: only an HTTP status has one, not {what!r}")
        reply = Reply(failure=what)
    else:
        reply = error_reply(what, **words)
    return Failure(reply=reply, accepted=_as_accepted(what, accepted, on))


def _as_accepted(what: int | str, accepted: bool, on: str) -> bool:
    if what in SPOILT:
        return True
    if accepted and on != "create":
        raise ValueError(f"accepted: only 'create' accepts a message, got {on!r}")
    if accepted and (what in NEVER_SENT or (isinstance(what, int) and what < 500)):
        raise ValueError(
            f"accepted: expected False, since {what!r} means that nothing was accepted"
        )
    return accepted


def error_reply(
    status: int,
    *,
    code: int | None = None,
    message: str | None = None,
    body: str | None = None,
    retry_after: float | str | None = None,
) -> Reply:
    """Return Twilio's answer to a request that it refuses."""
    if type(status) is not int or not 400 <= status <= 599:
        raise ValueError(f"what: expected an HTTP status from 400 to 599, got {status!r}")
    headers = {"Content-Type": "application/json"}
    if retry_after is not None:
        headers["Retry-After"] = str(retry_after)
    if body is None and code is None and status in HTML:
        headers["Content-Type"] = "text/html"
        body = f"<html><head><title>{status} {HTML[status]}</title></head></html>"
    return Reply(
        status=status,
        body=_error_body(status, code, message) if body is None else body,
        headers=headers,
    )


def _error_body(status: int, code: int | None, message: str | None) -> str:
    code = code or CODES.get(status)
    if code is None:
        raise ValueError(f"code: expected Twilio's error code, since HTTP {status} has many")
    answer = {
        "code": code,
        "message": message or MESSAGES.get(code, f"Scripted error {code}"),
        "more_info": f"https://www.twilio.com/docs/errors/{code}",
        "status": status,
    }
    if code == 20003:
        answer["detail"] = "Your AccountSid or AuthToken was incorrect."
    return json.dumps(answer)
