"""The config file and its credentials."""

from __future__ import annotations

import json
import os
from collections import Counter
from typing import TYPE_CHECKING, Any

from posthog_twilio.cli.usage import UsageError
from posthog_twilio.config import Config, shown, strip
from posthog_twilio.errors import ConfigError
from posthog_twilio.notices import load_actions

if TYPE_CHECKING:
    from collections.abc import Iterable

    from posthog_twilio.actions import Action

CREDENTIALS = {"accountSID": "TWILIO_ACCOUNT_SID", "authToken": "TWILIO_AUTH_TOKEN"}
"""Settings, and the environment variables that stand in where the config lacks them."""
NO_CREDENTIALS = {"accountSID": "AC" + "0" * 32, "authToken": "none"}
"""Enough for what sends nothing."""


def read_settings(path: str) -> dict[str, Any]:
    """
    Return the settings in the JSON file *path*, completed from the environment.

    Raises:
        UsageError: the file cannot be read, or holds no JSON object.

    """
    settings = _load(path)
    for key, variable in CREDENTIALS.items():
        if _is_missing(settings, key) and os.environ.get(variable):
            settings[key] = os.environ[variable]
    return settings


def without_credentials(settings: dict[str, Any]) -> dict[str, Any]:
    """Put something in the place of missing credentials, for what sends nothing."""
    missing = {k: v for k, v in NO_CREDENTIALS.items() if _is_missing(settings, k)}
    return {**settings, **missing}


def parse(path: str, settings: dict[str, Any]) -> tuple[Config, tuple[Action, ...]]:
    """
    Validate *settings* and compile their actions.

    Raises:
        UsageError: naming every faulty setting.

    """
    problems: list[str] = []
    actions = load_actions(settings, (), problems)
    try:
        return Config.parse(settings, problems), actions
    except ConfigError as error:
        raise faulty(path, error.problems) from None


def faulty(path: str, problems: Iterable[str]) -> UsageError:
    """Name the file before each problem."""
    return UsageError(*(f"{path}: {problem}" for problem in problems))


def _load(path: str) -> dict[str, Any]:
    try:
        with open(path, encoding="utf-8-sig") as file:
            settings = json.load(file, object_pairs_hook=_each_key_once)
    except OSError as error:
        raise UsageError(f"{path}: {error.strerror or error}") from None
    except json.JSONDecodeError as error:
        raise UsageError(f"{path}:{error.lineno}: not JSON: {error.msg}") from None
    except (ValueError, RecursionError) as error:
        raise UsageError(f"{path}: {error}") from None
    if not isinstance(settings, dict):
        raise UsageError(f"{path}: expected a JSON object of settings, got {shown(settings)}")
    return settings


def _each_key_once(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    """JSON lets the last of two equal keys win; here that would lose a recipient."""
    twice = [key for key, count in Counter(key for key, _ in pairs).items() if count > 1]
    if twice:
        raise ValueError(f"the key {shown(twice[0])} is there twice")
    return dict(pairs)


def _is_missing(settings: dict[str, Any], key: str) -> bool:
    return strip(settings.get(key)) in ("", None)
