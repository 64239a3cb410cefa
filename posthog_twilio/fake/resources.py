"""
Twilio's resources as JSON: Message, Account, IncomingPhoneNumber, Service.

The fields are those that Twilio's OpenAPI document (``twilio_api_v2010`` and
``twilio_messaging_v1``) gives each resource and that its Python SDK reads.
"""

from __future__ import annotations

import uuid
from email.utils import format_datetime
from typing import TYPE_CHECKING, Any

from attrs import field, frozen

from posthog_twilio.phone import mask

if TYPE_CHECKING:
    from collections.abc import Iterable, Sequence
    from datetime import datetime

API = "/2010-04-01"

_GSM7 = frozenset(
    "@£$¥èéùìòÇ\nØø\rÅåΔ_ΦΓΛΩΠΨΣΘΞÆæßÉ !\"#¤%&'()*+,-./0123456789:;<=>?"
    "¡ABCDEFGHIJKLMNOPQRSTUVWXYZÄÖÑÜ§¿abcdefghijklmnopqrstuvwxyzäöñüà"
)
_GSM7_EXTENSION = frozenset("^{}\\[~]|€\f")


def _masked(value: object) -> str:
    return mask(repr(value))


@frozen(kw_only=True)
class AcceptedMessage:
    """
    A message that the fake accepted, whatever the client heard of it.

    Attributes:
        to: the recipient's address, in full; only the repr masks it.
        from_: the sender; None where a Messaging Service will pick it.
        body: the text; empty for a message of media or a content template.
        sid: ``SM`` (``MM`` with media) and 32 hexadecimal digits.
        messaging_service_sid: the ``MG...`` that was asked to send it.
        media_url: the media, in the order given.
        status: ``queued``, or ``accepted`` while a sender is to be picked.
        date_created: when, aware, in UTC and whole seconds, by the fake's clock.
        account_sid: the account in the request's path.

    """

    to: str = field(repr=_masked)
    from_: str | None = field(repr=_masked)
    body: str = field(repr=_masked)
    sid: str
    messaging_service_sid: str | None = None
    media_url: tuple[str, ...] = ()
    status: str = "queued"
    date_created: datetime
    account_sid: str


def new_sid(prefix: str) -> str:
    """Make up a SID that no other fake has given out."""
    return prefix + uuid.uuid4().hex


def message(sent: AcceptedMessage) -> dict[str, Any]:
    """Show a message as Twilio does right after it took it: not sent, not priced."""
    uri = f"{API}/Accounts/{sent.account_sid}/Messages/{sent.sid}"
    created = format_datetime(sent.date_created)
    return {
        "account_sid": sent.account_sid,
        "api_version": "2010-04-01",
        "body": sent.body,
        "date_created": created,
        "date_sent": None,
        "date_updated": created,
        "direction": "outbound-api",
        "error_code": None,
        "error_message": None,
        "from": sent.from_,
        "messaging_service_sid": sent.messaging_service_sid,
        "num_media": str(len(sent.media_url)),
        "num_segments": str(_segments(sent.body) if sent.from_ else 0),
        "price": None,
        "price_unit": None,
        "sid": sent.sid,
        "status": sent.status,
        "subresource_uris": {"media": f"{uri}/Media.json"},
        "to": sent.to,
        "uri": f"{uri}.json",
    }


def account(sid: str, created: datetime) -> dict[str, Any]:
    """Show an account in good standing; its token is not told."""
    uri = f"{API}/Accounts/{sid}"
    return {
        "auth_token": "[redacted]",
        "date_created": format_datetime(created),
        "date_updated": format_datetime(created),
        "friendly_name": "FakeTwilio",
        "owner_account_sid": sid,
        "sid": sid,
        "status": "active",
        "subresource_uris": {
            "messages": f"{uri}/Messages.json",
            "incoming_phone_numbers": f"{uri}/IncomingPhoneNumbers.json",
        },
        "type": "Full",
        "uri": f"{uri}.json",
    }


def phone_number(number: str, account_sid: str, created: datetime) -> dict[str, Any]:
    """Show a number that the account owns and may text from; its SID is always the same."""
    sid = "PN" + uuid.uuid5(uuid.NAMESPACE_URL, f"tel:{number}").hex
    return {
        "account_sid": account_sid,
        "api_version": "2010-04-01",
        "beta": False,
        "capabilities": {"voice": True, "sms": True, "mms": True, "fax": False},
        "date_created": format_datetime(created),
        "date_updated": format_datetime(created),
        "friendly_name": number,
        "origin": "twilio",
        "phone_number": number,
        "sid": sid,
        "status": "in-use",
        "uri": f"{API}/Accounts/{account_sid}/IncomingPhoneNumbers/{sid}.json",
    }


def service(sid: str, account_sid: str, created: datetime) -> dict[str, Any]:
    """Show a Messaging Service with Twilio's defaults; this API dates in ISO 8601."""
    date = created.strftime("%Y-%m-%dT%H:%M:%SZ")
    return {
        "account_sid": account_sid,
        "date_created": date,
        "date_updated": date,
        "friendly_name": "FakeTwilio",
        "sid": sid,
        "smart_encoding": True,
        "sticky_sender": True,
        "url": f"https://messaging.twilio.com/v1/Services/{sid}",
        "usecase": "undeclared",
        "validity_period": 36000,
    }


def page(
    key: str,
    found: Sequence[dict[str, Any]],
    *,
    path: str,
    number: int,
    size: int,
    more: str | None,
) -> dict[str, Any]:
    """Show one page of a list; *more* is the URI of the next one."""
    start = number * size
    return {
        key: list(found),
        "end": start + max(len(found) - 1, 0),
        "first_page_uri": f"{path}?PageSize={size}&Page=0",
        "next_page_uri": more,
        "page": number,
        "page_size": size,
        "previous_page_uri": None,
        "start": start,
        "uri": f"{path}?PageSize={size}&Page={number}",
    }


# Counted here once more on purpose: a fake that counted with the code under
# test would share its mistakes.
def _segments(body: str) -> int:
    if _GSM7.union(_GSM7_EXTENSION).issuperset(body):
        return _pack((2 if char in _GSM7_EXTENSION else 1 for char in body), one=160, part=153)
    return _pack((len(char.encode("utf-16-be")) // 2 for char in body), one=70, part=67)


def _pack(costs: Iterable[int], *, one: int, part: int) -> int:
    units = list(costs)
    if sum(units) <= one:
        return 1
    parts, used = 1, 0
    for cost in units:
        if used + cost > part:
            parts, used = parts + 1, 0
        used += cost
    return parts
