"""A Twilio account: what it owns, what it accepted, and its answer to each request."""

from __future__ import annotations

import json
import re
from datetime import datetime, timezone
from typing import TYPE_CHECKING, Any
from urllib.parse import urlencode

from attrs import define, field

from posthog_twilio.fake import failures, resources, rules
from posthog_twilio.fake.resources import AcceptedMessage
from posthog_twilio.fake.rules import RefusalError
from posthog_twilio.fake.wire import Reply
from posthog_twilio.phone import E164

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    from posthog_twilio.fake.wire import Request

_ACCOUNT = r"/2010-04-01/Accounts/(?P<account>[^/]+)"
ROUTES = {
    "create": ("POST", re.compile(rf"{_ACCOUNT}/Messages\.json")),
    "list": ("GET", re.compile(rf"{_ACCOUNT}/Messages\.json")),
    "fetch": ("GET", re.compile(rf"{_ACCOUNT}/Messages/(?P<sid>[^/]+)\.json")),
    "account": ("GET", re.compile(rf"{_ACCOUNT}\.json")),
    "numbers": ("GET", re.compile(rf"{_ACCOUNT}/IncomingPhoneNumbers\.json")),
    "service": ("GET", re.compile(r"/v1/Services/(?P<sid>[^/]+)")),
}
_SID = re.compile(r"(AC|SK)[0-9a-fA-F]{32}")
_DATE_FILTERS = ("DateSent", "DateSent<", "DateSent>")


def route(request: Request) -> tuple[str, dict[str, str]]:
    """Return the kind of request and the parts of its path; an empty kind is unknown."""
    for kind, (method, path) in ROUTES.items():
        found = path.fullmatch(request.path)
        if found and method == request.method:
            return kind, found.groupdict()
    return "", {}


@define(kw_only=True)
class Account:
    """See :class:`~posthog_twilio.testing.FakeTwilio`; not safe for threads by itself."""

    sid: str | None
    auth_token: str | None = field(repr=False)
    senders: frozenset[str] | None
    clock: Callable[[], float]
    list_delay: float
    outbox: list[AcceptedMessage] = field(factory=list)

    def handle(self, request: Request) -> Reply:
        """Answer a request as Twilio does when all is well there."""
        kind, parts = route(request)
        try:
            account = self._authorize(request, parts.get("account"))
            if not kind:
                raise _unknown(request)
            payload = getattr(self, f"_{kind}")(request, account, parts.get("sid", ""))
        except RefusalError as refusal:
            return failures.error_reply(refusal.status, code=refusal.code, message=refusal.message)
        return Reply(
            status=201 if kind == "create" else 200,
            body=json.dumps(payload),
            headers={
                "Content-Type": "application/json",
                "Twilio-Request-Id": resources.new_sid("RQ"),
            },
        )

    def _authorize(self, request: Request, account: str | None) -> str:
        """Return the SID of the account that the request is about."""
        user, secret = request.user or "", request.password
        own = self.sid or (user if user.startswith("AC") else account or user)
        known = _SID.fullmatch(user) and (user.startswith("SK") or user == own)
        if not known or not secret or secret != (self.auth_token or secret):
            raise RefusalError(20003, 401)
        if account is not None and account != own:
            raise RefusalError(20404, 404)
        return own

    def _now(self) -> datetime:
        return datetime.fromtimestamp(int(self.clock()), timezone.utc)

    def _create(self, request: Request, account: str, _: str) -> dict[str, Any]:
        rules.check_message(request, self.senders)
        media = tuple(request.form.get("MediaUrl", ()))
        sender = request.value("From")
        accepted = AcceptedMessage(
            to=request.value("To") or "",
            from_=sender,
            body=request.value("Body") or "",
            sid=resources.new_sid("MM" if media else "SM"),
            messaging_service_sid=request.value("MessagingServiceSid"),
            media_url=media,
            status="queued" if sender else "accepted",
            date_created=self._now(),
            account_sid=account,
        )
        self.outbox.append(accepted)
        return resources.message(accepted)

    def _listed(self, request: Request, account: str) -> Iterator[AcceptedMessage]:
        """Yield what a list shows, newest first; nothing has a date sent yet."""
        to, sender = request.value("To"), request.value("From")
        for message in reversed(self.outbox):
            if (
                message.account_sid == account
                and to in (None, message.to)
                and sender in (None, message.from_)
                and not any(request.value(name) for name in _DATE_FILTERS)
                and message.date_created.timestamp() + self.list_delay <= self.clock()
            ):
                yield message

    def _list(self, request: Request, account: str, _: str) -> dict[str, Any]:
        found = list(self._listed(request, account))
        size = min(_whole(request.value("PageSize"), 50), 1000)
        number = _whole(request.value("Page"), 0)
        token = (request.value("PageToken") or "").removeprefix("PA")
        sids = [message.sid for message in found]
        start = sids.index(token) + 1 if token in sids else 0
        shown = found[start : start + size]
        more = None
        if start + size < len(found):
            query = {name: values[0] for name, values in request.query.items()}
            query |= {"Page": str(number + 1), "PageToken": f"PA{shown[-1].sid}"}
            more = f"{request.path}?{urlencode(query)}"
        return resources.page(
            "messages",
            [resources.message(message) for message in shown],
            path=request.path,
            number=number,
            size=size,
            more=more,
        )

    def _fetch(self, _: Request, account: str, sid: str) -> dict[str, Any]:
        for message in self.outbox:
            if (message.sid, message.account_sid) == (sid, account):
                return resources.message(message)
        raise RefusalError(20404, 404)

    def _account(self, _: Request, account: str, __: str) -> dict[str, Any]:
        return resources.account(account, self._now())

    def _numbers(self, request: Request, account: str, _: str) -> dict[str, Any]:
        wanted = request.value("PhoneNumber")
        owned = self.senders if self.senders is not None else {wanted or ""}
        numbers = sorted(n for n in owned if E164.fullmatch(n) and (wanted or "") in n)
        return resources.page(
            "incoming_phone_numbers",
            [resources.phone_number(number, account, self._now()) for number in numbers],
            path=request.path,
            number=0,
            size=max(len(numbers), 50),
            more=None,
        )

    def _service(self, _: Request, account: str, sid: str) -> dict[str, Any]:
        owned = self.senders is None or sid in self.senders
        if not owned or not rules.SERVICE_SID.fullmatch(sid):
            raise RefusalError(20404, 404)
        return resources.service(sid, account, self._now())


def _unknown(request: Request) -> RefusalError:
    known = any(path.fullmatch(request.path) for _, path in ROUTES.values())
    return RefusalError(20004, 405) if known else RefusalError(20404, 404)


def _whole(text: str | None, default: int) -> int:
    return int(text) if text and re.fullmatch(r"[0-9]{1,9}", text) else default
