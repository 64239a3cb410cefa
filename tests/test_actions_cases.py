"""The cases that come with the specification, where they lie beside the repository."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from posthog_twilio.actions import Action

CASES = Path(__file__).parents[2] / "shared" / "data" / "action_cases.jsonl"


def _cases():
    if not CASES.is_file():
        reason = "the specification's cases are not beside this repository"
        return [pytest.param(None, marks=pytest.mark.skip(reason=reason), id="absent")]
    cases = [json.loads(line) for line in CASES.read_text("utf-8").splitlines()]
    return [pytest.param(case, id=f"{i}: {case['name']}") for i, case in enumerate(cases)]


@pytest.mark.parametrize("case", _cases())
def test_case(case):
    """A case of the specification comes out as PostHog's engines, or the chosen one, have it."""
    pytest.importorskip("re2")
    action = Action.parse(case["action"])

    assert action.matches(case["event"]) is case["matches"], case["source"]
