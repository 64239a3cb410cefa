"""
The parameters of plugin.json in, a validated :class:`Config` out.

A value may come as text from a form or as the natural Python type.  Every
converter takes either, and raises :class:`ValueError` with what it expected
and what it got; all problems are reported at once, in plugin.json's words.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Iterable, Iterator, Mapping
from difflib import get_close_matches
from typing import Any
from urllib.parse import urlsplit

from attrs import NOTHING, Attribute, field, fields, frozen

from posthog_twilio.errors import ConfigError
from posthog_twilio.paths import Path, placeholders
from posthog_twilio.phone import channel, is_address, is_sender, mask

YEAR = 31_536_000
DEFAULT_TEMPLATE = "Hi {event.event} occurred{and_more} - PostHog"

_PLACEHOLDERS = ("{your SID}", "{your token}", "{Sample keys}", "{+countrycodephone}")
_SECRET_MASK = re.compile(r"\*{4,} POSTHOG SECRET FIELD \*{4,}")
_DATA = re.compile(r"(?P<channel>[a-z]+:)?\{\{?\s*(?P<path>[^{}]*?)\s*\}\}?")
_ADDRESS_TAIL = re.compile(
    r"(?s)(?P<name>.*?)\s*:\s*(?P<address>(?:(?:whatsapp|messenger|rcs):)?(?:[^:{}]*|\{.*\}))"
)
_TOKEN = re.compile(r"[0-9A-Za-z]{32,}")
_SPACED_NUMBER = re.compile(r"\+?[0-9](?:[ \u00a0().-]*[0-9]){6,}")
_LEFTOVER = re.compile(r"(?i):\s*(?:\+[0-9]+|whatsapp|messenger|rcs)\s*$")
_LOOPBACK = ("127.0.0.1", "localhost", "::1")


def strip(value: Any) -> Any:
    """Drop blanks around text, and the byte order mark that :meth:`str.strip` leaves."""
    return value.strip("\ufeff \t\r\n\f\v\u00a0") if isinstance(value, str) else value


def shown(value: Any) -> str:
    """Show *value* in an error: bounded, numbers and tokens hidden, containers by their type."""
    if isinstance(value, str):
        # What was typed into the wrong box may be a token, or a number with blanks in it.
        text = _TOKEN.sub(lambda found: f"({len(found[0])} letters and digits)", value)
        text = _SPACED_NUMBER.sub(lambda found: mask(re.sub(r"[^+0-9]", "", found[0])), text)
        return repr(text if len(text) <= 60 else text[:59] + "…")
    if value is None or isinstance(value, bool | int | float):
        return mask(repr(value))
    return _kind(value)


def _kind(value: Any) -> str:
    name = type(value).__name__
    return f"{'an' if name[0] in 'aeiou' else 'a'} {name}"


def _text(value: Any, expected: str) -> str:
    """Return non-empty text; refuse what an unedited or masked form would hold."""
    value = strip(value)
    if value is None or value == "":
        raise ValueError("missing")
    if not isinstance(value, str):
        raise ValueError(f"expected {expected}, got {_kind(value)}")
    if value in _PLACEHOLDERS:
        raise ValueError(f"still holds the form's placeholder; expected {expected}")
    if _SECRET_MASK.fullmatch(value):
        raise ValueError("holds PostHog's mask for a secret, not the secret; enter it again")
    return value


def _sid(prefix: str) -> Callable[[Any], str]:
    expected = f"{prefix} and 32 hexadecimal digits"

    def as_sid(value: Any) -> str:
        text = _text(value, expected)
        if not re.fullmatch(f"{prefix}[0-9a-fA-F]{{32}}", text):
            # The text itself may be a token in the wrong box.
            raise ValueError(f"expected {expected}, got {len(text)} other characters")
        return text

    return as_sid


def as_secret(value: Any) -> str:
    """Return a credential; no error says what it was."""
    text = _text(value, "the token's text")
    if not re.fullmatch(r"[!-~]+", text):
        raise ValueError("expected printable ASCII without blanks, got other characters")
    return text


def _as_integer(low: int, high: int, what: str) -> Callable[[Any], int]:
    expected = f"expected {what} from {low} to {high}"

    def as_integer(value: Any) -> int:
        text = str(value) if type(value) is int else strip(value)
        # ASCII digits only: int() also takes "1_000" and other scripts' digits.
        if isinstance(text, str) and re.fullmatch(r"[1-9][0-9]{0,7}", text):
            number = int(text)
            if low <= number <= high:
                return number
        raise ValueError(f"{expected}, got {shown(value)}")

    return as_integer


as_seconds = _as_integer(1, YEAR, "whole seconds")


def _choice(*words: str) -> Callable[[Any], str]:
    def as_choice(value: Any) -> str:
        value = strip(value)
        if value not in words:
            raise ValueError(f"expected {' or '.join(words)}, got {shown(value)}")
        return str(value)

    return as_choice


def as_sender(value: Any) -> str:
    """Return a sender's address, or a Messaging Service's SID."""
    expected = (
        "an E.164 number such as +15550100, a short code, an alphanumeric sender, "
        "whatsapp:+..., or a Messaging Service SID (MG...)"
    )
    text = _text(value, expected)
    if not is_sender(text):
        raise ValueError(f"expected {expected}, got {shown(text)}")
    return text


def as_recipient(value: Any) -> str:
    """Return a recipient's address, or the path in braces at which an event carries it."""
    expected = "an E.164 number such as +15550100"
    text = _text(value, expected)
    if data := _DATA.fullmatch(text):
        path = Path.parse(data["path"])
        address = f"{data['channel'] or ''}{{{path.text}}}"
        if data["channel"] in (None, "whatsapp:"):
            return address
    elif is_address(text):
        return text
    raise ValueError(f"expected {expected}, got {shown(text)}")


def as_triggers(value: Any) -> dict[str, tuple[str, ...]]:
    """Return ``{name: (recipient, ...)}`` from ``event:number,event:number`` or a mapping."""
    found: dict[str, dict[str, None]] = {}
    problems = []
    for entry in _entries(value):
        try:
            name, recipient = _pair(entry) if isinstance(entry, str) else entry
            found.setdefault(name, {})[_recipient_of(name, recipient)] = None
        except ValueError as error:
            problems.append(str(error))
    if problems or not found:
        raise ValueError(*(problems or ["missing"]))
    return {name: tuple(recipients) for name, recipients in found.items()}


def _entries(value: Any) -> Iterator[Any]:
    """Yield ``name:address`` texts, or the pairs of a mapping."""
    if not isinstance(value, Mapping):
        text = _text(value, "event:number,event:number or a mapping of names to numbers")
        yield from filter(None, map(strip, re.split(r"[,\r\n]", text)))
        return
    for name, recipients in value.items():
        listed = recipients if isinstance(recipients, list | tuple) else [recipients]
        yield from ((name, recipient) for recipient in listed or [None])


def _recipient_of(name: Any, recipient: Any) -> str:
    if not (isinstance(name, str) and name.strip()):
        raise ValueError(f"expected the name of an event or action, got {shown(name)}")
    try:
        return as_recipient(recipient)
    except ValueError as error:
        raise ValueError(f"{shown(name)}: {error}") from None


def _pair(entry: str) -> tuple[str, str]:
    """
    Split ``name:address`` before the address.

    Names may hold colons and so may addresses, so the address is what stands
    behind the last colon, with its channel where one stands before it.
    """
    found = _ADDRESS_TAIL.fullmatch(entry)
    if not (found and found["name"] and found["address"]):
        raise ValueError(f"expected event:number, got {shown(entry)}")
    if _LEFTOVER.search(found["name"]):
        raise ValueError(f"expected one number an entry, event:number, got {shown(entry)}")
    return found["name"], found["address"]


def as_template(value: Any) -> str:
    """Return a template's text; every path in it has a known root."""
    if not isinstance(value, str):
        raise ValueError(f"expected text, got {shown(value)}")
    if not value.strip():
        raise ValueError("missing")
    for path in placeholders(value):
        if path not in ("held_back", "and_more"):
            Path.parse(path)
    return value


def as_country_codes(value: Any) -> tuple[str, ...]:
    """Return calling codes such as ``+44``, or longer prefixes such as ``+1415``."""
    listed = value if isinstance(value, list | tuple) else str(strip(value)).split(",")
    codes = [strip(code) for code in listed]
    for code in codes:
        if not (isinstance(code, str) and re.fullmatch(r"\+[1-9][0-9]{0,5}", code)):
            raise ValueError(f"expected country codes such as +1,+44, got {shown(code)}")
    return tuple(dict.fromkeys(codes))


def as_base_url(value: Any) -> str:
    """Return an https URL, or an http one to loopback, without a slash at its end."""
    expected = "expected https://..., or http:// to loopback"
    text = _text(value, "an https URL")
    try:
        url = urlsplit(text)
        plain = url.scheme == "http" and url.hostname in _LOOPBACK
        port = url.port
    except ValueError:
        raise ValueError(f"{expected}, got {shown(text)}") from None
    if url.username is not None or url.query or url.fragment or re.search(r"[\s\\]", text):
        raise ValueError(f"{expected}, with no user, query or fragment")
    if not (url.hostname and port != 0 and (url.scheme == "https" or plain)):
        raise ValueError(f"{expected}, got {shown(text)}")
    return text.rstrip("/")


def _setting(
    key: str,
    parse: Callable[[Any], Any],
    *,
    default: Any = NOTHING,
    blank: bool = False,
    **more: Any,
) -> Any:
    """Declare a setting; *blank* says that a form's empty box means the default."""
    return field(default=default, metadata={"key": key, "parse": parse, "blank": blank}, **more)


def _optional(key: str, parse: Callable[[Any], Any], default: Any = None, **more: Any) -> Any:
    return _setting(key, parse, default=default, blank=True, **more)


def _masked(value: Any) -> str:
    return mask(repr(value))


@frozen(kw_only=True)
class Config:
    """
    Valid settings; :meth:`parse` makes them.

    Attributes:
        account_sid: Twilio account, ``AC`` and 32 hexadecimal digits.
        auth_token: the account's token, or the API key's secret.
        triggers: name of an event or action to its recipients, in order.
        sender: from whom, as Twilio takes it.
        cooldown: seconds between two messages of one trigger and recipient.
        template: the message, with paths in braces.
        scope: ``event`` or ``person``: who shares a cooldown.
        actions: PostHog's action definitions, as given.
        country_codes: prefixes that a number from event data must have.
        daily_limit: messages a UTC day, all triggers together.
        max_segments: SMS parts a message may be billed as.
        when_in_doubt: ``report``, ``ask`` or ``resend``.
        api_key_sid: ``SK...``, where ``auth_token`` is an API key's secret.
        base_url: where Twilio's API is.

    """

    account_sid: str = _setting("accountSID", _sid("AC"), repr=False)
    auth_token: str = _setting("authToken", as_secret, repr=False)
    triggers: dict[str, tuple[str, ...]] = _setting(
        "triggeringEventsAndNumber", as_triggers, repr=_masked
    )
    sender: str = _setting("senderPhoneNumber", as_sender, repr=_masked)
    cooldown: int = _setting("timeout", as_seconds, default=60)
    template: str = _optional("messageTemplate", as_template, DEFAULT_TEMPLATE)
    scope: str = _optional("timeoutScope", _choice("event", "person"), "event")
    actions: Any = _optional("actions", lambda value: value, (), repr=False)
    country_codes: tuple[str, ...] = _optional("allowedCountryCodes", as_country_codes, ())
    daily_limit: int | None = _optional("dailyLimit", _as_integer(1, 100_000, "a whole number"))
    max_segments: int | None = _optional("maxSegments", _as_integer(1, 24, "a whole number"))
    when_in_doubt: str = _optional("whenInDoubt", _choice("report", "ask", "resend"), "report")
    api_key_sid: str | None = _optional("apiKeySID", _sid("SK"), repr=False)
    base_url: str | None = _optional("apiBaseURL", as_base_url)

    @classmethod
    def parse(cls, settings: Mapping[str, Any], problems: Iterable[str] = ()) -> Config:
        """
        Validate *settings*, whose keys are those of plugin.json.

        Args:
            settings: text from a form, or natural Python types.
            problems: what else was found wrong, to be reported in the same go.

        Raises:
            ConfigError: naming every faulty, missing or unknown setting.

        """
        if not isinstance(settings, Mapping):
            raise ConfigError([f"config: expected a mapping of settings, got {shown(settings)}"])
        values: dict[str, Any] = {}
        found = [*_parse_all(settings, values), *_unknown(settings), *_disagreements(values)]
        found += problems
        if found:
            raise ConfigError(found)
        return cls(**values)


def keys() -> tuple[str, ...]:
    """Return the names of all settings, as plugin.json has them."""
    return tuple(attribute.metadata["key"] for attribute in fields(Config))


def _parse_all(settings: Mapping[str, Any], values: dict[str, Any]) -> Iterator[str]:
    """Put what is right into *values*; yield what is wrong."""
    for attribute in fields(Config):
        key = attribute.metadata["key"]
        try:
            if not _is_left_out(attribute, settings):
                values[attribute.name] = attribute.metadata["parse"](settings.get(key))
        except ValueError as error:
            yield from (f"{key}: {problem}" for problem in error.args)


def _is_left_out(attribute: Attribute[Any], settings: Mapping[str, Any]) -> bool:
    key = attribute.metadata["key"]
    if key not in settings:
        return attribute.default is not NOTHING
    return attribute.metadata["blank"] and strip(settings[key]) in ("", None)


def _unknown(settings: Mapping[str, Any]) -> Iterator[str]:
    known = keys()
    for key in settings:
        if key not in known:
            close = get_close_matches(str(key), known, 1)
            yield f"{key}: unknown setting" + (f"; did you mean {close[0]}?" if close else "")


def _disagreements(values: Mapping[str, Any]) -> Iterator[str]:
    """Yield what is wrong between settings that are each right."""
    sender = values.get("sender", "MG")
    for name, recipients in values.get("triggers", {}).items():
        for recipient in recipients:
            if recipient == sender:
                yield f"senderPhoneNumber: {shown(name)} would text the sender itself"
            if not sender.startswith("MG") and channel(sender) != channel(recipient):
                yield (
                    f"senderPhoneNumber: expected the channel of {shown(name)}'s recipients, "
                    f"{channel(recipient)}, got {channel(sender)}"
                )
        if any("{" in recipient for recipient in recipients) and not values.get("country_codes"):
            yield f"allowedCountryCodes: missing; {shown(name)} texts numbers from event data"
