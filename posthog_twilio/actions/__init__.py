"""
PostHog's action definitions, evaluated on this side.

A definition, as PostHog's API returns it, is compiled once and then decides
about plugin events with no server::

    from posthog_twilio.actions import Action

    action = Action.parse(definition)
    action.matches(event)   # bool; never raises
    action.warnings         # what could not be decided, and why

Whatever cannot be decided from an event alone (a cohort, HogQL, an operator
of a later PostHog) makes its step false: no guess fires an action.
"""

from posthog_twilio.actions.action import Action
from posthog_twilio.actions.parse import parse_actions

__all__ = ["Action", "parse_actions"]
