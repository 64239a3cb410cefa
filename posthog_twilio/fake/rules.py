"""
What Twilio refuses, and in which words.

The magic numbers are those of Twilio's test credentials
(https://www.twilio.com/docs/iam/test-credentials); the codes those of its
error dictionary (https://www.twilio.com/docs/api/errors).
"""

from __future__ import annotations

import re
from typing import TYPE_CHECKING

from posthog_twilio.phone import E164

if TYPE_CHECKING:
    from collections.abc import Collection

    from posthog_twilio.fake.wire import Request

BODY_LIMIT = 1600

MESSAGES = {
    20003: "Authenticate",
    20004: "Method not allowed",
    20403: "Forbidden",
    20404: "The requested resource was not found",
    20422: "Invalid parameter",
    20429: "Too Many Requests",
    20500: "An internal server error has occurred",
    20503: "Service Unavailable",
    21211: "The 'To' number {to} is not a valid phone number.",
    21212: "The 'From' number {sender} is not a valid phone number, shortcode, "
    "or alphanumeric sender ID.",
    21266: "'To' and 'From' number cannot be the same: {to}",
    21408: "Permission to send an SMS has not been enabled for the region indicated by "
    "the 'To' number: {to}.",
    21602: "Message body is required.",
    21603: "A 'From' phone number is required.",
    21604: "A 'To' phone number is required.",
    21606: "The From phone number {sender} is not a valid, SMS-capable inbound phone number "
    "or short code for your account.",
    21610: "The message From/To pair violates a blacklist rule.",
    21611: "SMS queue is full.",
    21612: "The 'To' phone number: {to}, is not currently reachable using the 'From' phone "
    "number: {sender} via SMS.",
    21614: "To number: {to}, is not a mobile number",
    21617: "The concatenated message body exceeds the 1600 character limit.",
    21701: "The Messaging Service does not exist",
    21705: "The Messaging Service is invalid",
    21910: "Invalid From and To pair. From and To should be of the same channel",
}

_MAGIC_TO = {
    "+15005550001": 21211,
    "+15005550002": 21612,
    "+15005550003": 21408,
    "+15005550004": 21610,
    "+15005550009": 21614,
}
_MAGIC_FROM = {"+15005550001": 21212, "+15005550007": 21606, "+15005550008": 21611}

_CHANNEL = re.compile(r"(whatsapp:\+[1-9][0-9]{1,14}|(?:messenger|rcs):\S+)")
_SHORT_CODE = re.compile(r"[0-9]{3,8}")
_ALPHANUMERIC = re.compile(r"(?=.*[A-Za-z])[A-Za-z0-9 ]{1,11}")
SERVICE_SID = re.compile(r"MG[0-9a-fA-F]{32}")


class RefusalError(Exception):
    """Raised inside the fake when Twilio answers with an error."""

    def __init__(self, code: int, status: int = 400, **words: str | None) -> None:
        super().__init__(code)
        self.code = code
        self.status = status
        self.message = MESSAGES[code].format(**words)


def check_message(request: Request, senders: Collection[str] | None) -> None:
    """
    Refuse a message as Twilio does.

    Which of two faults Twilio names is undocumented; here a missing parameter
    goes first, then the recipient, then the sender, then the body.

    Args:
        request: a POST to the message list.
        senders: the numbers, channel addresses and Messaging Services that the
            account owns; None owns them all.

    Raises:
        RefusalError: with the code, HTTP status and sentence of Twilio's answer.

    """
    to, service = request.value("To"), request.value("MessagingServiceSid")
    sender = request.value("From")
    if to is None:
        raise RefusalError(21604)
    if sender is None and service is None:
        raise RefusalError(21603)
    _check_recipient(to, sender)
    if service is not None:
        _check_service(service, senders)
    if sender is not None:
        _check_sender(sender, to, senders)
    _check_content(request)


def _check_recipient(to: str, sender: str | None) -> None:
    if not (E164.fullmatch(to) or _CHANNEL.fullmatch(to)):
        raise RefusalError(21211, to=to)
    if to in _MAGIC_TO:
        raise RefusalError(_MAGIC_TO[to], to=to, sender=sender)


def _check_sender(sender: str, to: str, senders: Collection[str] | None) -> None:
    forms = (E164, _CHANNEL, _SHORT_CODE, _ALPHANUMERIC)
    if not any(form.fullmatch(sender) for form in forms):
        raise RefusalError(21212, sender=sender)
    if sender in _MAGIC_FROM:
        code = _MAGIC_FROM[sender]
        raise RefusalError(code, 429 if code == 21611 else 400, sender=sender)
    if senders is not None and sender not in senders:
        raise RefusalError(21606, sender=sender)
    if sender == to:
        raise RefusalError(21266, to=to)
    if _channel(sender) != _channel(to):
        raise RefusalError(21910)


def _check_service(service: str, senders: Collection[str] | None) -> None:
    if not SERVICE_SID.fullmatch(service):
        raise RefusalError(21705)
    if senders is not None and service not in senders:
        raise RefusalError(21701)


def _check_content(request: Request) -> None:
    body = request.value("Body")
    if not (body or request.value("MediaUrl") or request.value("ContentSid")):
        raise RefusalError(21602)
    # Twilio does not say which unit it counts; UTF-16 is the strictest one.
    if len((body or "").encode("utf-16-be")) // 2 > BODY_LIMIT:
        raise RefusalError(21617)


def _channel(address: str) -> str:
    return address.partition(":")[0] if ":" in address else "sms"
