"""
A plugin host: asks for the parameters as a form would, loads the plugin, feeds it events.

    pip install posthog-twilio
    python examples/plugin_host.py recordings/shop-backend.jsonl

The events come from a recording, else from standard input, one JSON document a line.  **It sends.**
With ``--entry-point posthog-twilio`` it finds the plugin among those that are installed, else it
loads what the manifest names as ``main``.  Answers may be piped in, one a line, before the events.
"""

from __future__ import annotations

import argparse
import sys
from collections.abc import Iterable, Iterator, Mapping
from getpass import getpass
from importlib import import_module
from importlib.metadata import entry_points
from typing import Any

from posthog_twilio import ConfigError, InvalidEvent, RetryError, manifest
from posthog_twilio.events import parse_events
from posthog_twilio.testing import recorded_events

GROUP = "posthog.plugins"


def load(name: str | None) -> tuple[Any, dict[str, Any]]:
    """Return the module with the hooks, and the manifest."""
    if name is None:
        return import_module(manifest()["main"]), manifest()
    plugin = entry_points(group=GROUP)[name].load()
    return plugin, plugin.manifest()


def ask(field: Mapping[str, Any]) -> str:
    """Ask for one parameter; an empty answer is the default."""
    default = field.get("default", "")
    choices = f" ({' | '.join(field['choices'])})" if "choices" in field else ""
    print(f"\n{field['name']}{' *' if field['required'] else ''}: {field.get('hint', '')}")
    prompt = f"{field['key']}{choices}{f' [{default}]' if default else ''}: "
    secret = field.get("secret") and sys.stdin.isatty()
    return (getpass(prompt) if secret else input(prompt)) or default


def fill_in(plugin: Any, form: Mapping[str, Any]) -> Any:
    """Ask until the plugin takes the answers; what is wrong stands next to its field."""
    fields = {field["key"]: field for field in form["config"] if "key" in field}
    answers = {key: ask(field) for key, field in fields.items()}
    while True:
        try:
            return plugin.setup_plugin(answers)
        except ConfigError as error:
            problems = [problem.partition(": ") for problem in error.problems]
        for key, _, problem in problems:
            print(f"\n! {fields[key]['name']}: {problem}")
            answers[key] = ask(fields[key])


def feed(plugin: Any, meta: Any, events: Iterable[Mapping[str, Any]]) -> None:
    for event in events:
        try:
            for outcome in plugin.on_event(event, meta):
                print(outcome)
        except RetryError as error:
            print(f"! {error}")
    plugin.teardown_plugin(meta)


def main() -> None:
    parser = argparse.ArgumentParser(description="Run a PostHog plugin on recorded events.")
    parser.add_argument("recording", nargs="?")
    parser.add_argument("--entry-point", choices=sorted(entry_points(group=GROUP).names))
    given = parser.parse_args()
    plugin, form = load(given.entry_point)
    try:
        meta = fill_in(plugin, form)
    except EOFError:
        raise SystemExit("expected an answer for each field, got fewer") from None
    feed(plugin, meta, recorded_events(given.recording) if given.recording else typed())


def typed() -> Iterator[Mapping[str, Any]]:
    for line in sys.stdin:
        try:
            yield from parse_events(line)
        except InvalidEvent as error:
            print(f"! {error}")


if __name__ == "__main__":
    main()
