"""``posthog-twilio check``."""

from __future__ import annotations

from datetime import timedelta
from typing import TYPE_CHECKING

from posthog_twilio.cli import settings, terminal
from posthog_twilio.grid import Column, Grid, one_line
from posthog_twilio.notices import notices
from posthog_twilio.phone import channel, mask
from posthog_twilio.report import duration
from posthog_twilio.transport import TwilioTransport, Unreadable

if TYPE_CHECKING:
    from argparse import Namespace
    from collections.abc import Iterator, Sequence

    from posthog_twilio.actions import Action
    from posthog_twilio.config import Config


_ANY_NUMBER = "+15550100000"
"""Looked up where the sender cannot be: whether Twilio answers tells whether an API key works."""


def check_command(given: Namespace) -> int:
    """Check a config, and print what it does."""
    path = given.config
    found = settings.read_settings(path)
    if given.offline:
        found = settings.without_credentials(found)
    config, actions = settings.parse(path, found)
    terminal.say(f"{path}: the settings are valid.", "")
    terminal.show(_plan(config, actions))
    for notice in notices(config, None, actions):
        terminal.say(f"warning: {notice}")
    terminal.say("")
    if given.offline:
        terminal.say("Twilio was not asked.")
        return 0
    return 0 if _ask_twilio(config) else 1


def _plan(config: Config, actions: Sequence[Action]) -> Iterator[Grid | str]:
    """Yield what will fire on what, whom it texts, and how often."""
    named = {action.name for action in actions}
    yield Grid(
        (Column("Trigger", most=30), Column("Fires on", most=20), Column("Texts", flexible=True)),
        [
            (
                one_line(name),
                "an event or action" if name in named else "an event",
                ", ".join(map(mask, recipients)),
            )
            for name, recipients in config.triggers.items()
        ],
    )
    yield ""
    yield from _rules(config)


def _rules(config: Config) -> Iterator[str]:
    whose = "person and number" if config.scope == "person" else "number"
    yield (
        f"Each trigger texts a {whose} at most once in "
        f"{duration(timedelta(seconds=config.cooldown))}"
        + (f", {config.daily_limit:,} messages a UTC day in all." if config.daily_limit else ".")
    )
    yield f"From:    {mask(config.sender)}"
    yield f"Message: {one_line(config.template)}"
    if config.country_codes:
        yield f"Numbers from event data: only in {', '.join(config.country_codes)}"


def _ask_twilio(config: Config) -> bool:
    """Ask Twilio about credentials and sender; print what it said, and tell whether it is good."""
    transport = TwilioTransport(
        config.account_sid,
        config.api_key_sid or config.account_sid,
        config.auth_token,
        config.base_url,
    )
    try:
        # One after the other: without credentials there is no word about the sender.
        return _account_is_good(transport, config) and _sender_is_good(transport, config)
    finally:
        transport.close()


def _account_is_good(transport: TwilioTransport, config: Config) -> bool:
    try:
        account = transport.account()
    except Unreadable as error:
        if config.api_key_sid and str(error).startswith(("HTTP 401", "HTTP 403")):
            # A standard API key may send, and may not look at the account.
            terminal.say("Twilio: an API key may not look at the account; asking for the sender.")
            return True
        terminal.say(f"Twilio: {error}")
        return False
    name, status = one_line(str(account["name"])), account["status"]
    if status != "active":
        terminal.say(f"Twilio: the account {name!r} is {status}; see Twilio's console")
        return False
    terminal.say(f"Twilio: the credentials are good; account {name!r} ({account['type']}).")
    return True


def _sender_is_good(transport: TwilioTransport, config: Config) -> bool:
    sender = config.sender
    if not sender.startswith(("MG", "+")) or channel(sender) != "sms":
        terminal.say(f"Twilio: the sender {mask(sender)} can only be checked by sending from it.")
        sender = _ANY_NUMBER
    try:
        owned = transport.owns(sender)
    except Unreadable as error:
        terminal.say(f"Twilio: {error}")
        return False
    if sender is _ANY_NUMBER:
        return True
    kind = "Messaging Service" if sender.startswith("MG") else "number"
    verdict = "is" if owned else "is not"
    terminal.say(f"Twilio: the sender {mask(sender)} {verdict} a {kind} of this account.")
    return owned
