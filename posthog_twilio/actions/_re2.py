r"""
Regular expressions in the dialect of PostHog's engines, which is RE2's.

There is no fallback to :mod:`re`: the dialects differ (look-around, ``\z``,
what ``$`` and ``\d`` mean), and RE2 alone is linear in the text, whoever
wrote it.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from posthog_twilio.actions.undecidable import Undecidable

if TYPE_CHECKING:
    from collections.abc import Callable

INSTALL = "pip install 'posthog-twilio[actions]'"


def compile_search(pattern: str) -> Callable[[str], bool]:
    """
    Compile *pattern* into a function that says whether a text contains it.

    Raises:
        Undecidable: RE2 is not installed, or does not accept *pattern*.

    """
    try:
        import re2

        options = re2.Options()
    except (ImportError, AttributeError):  # AttributeError: another package of that name
        raise Undecidable(f"a regular expression needs RE2: {INSTALL}") from None
    options.log_errors = False
    try:
        search = re2.compile(pattern, options).search
    except (re2.error, UnicodeEncodeError) as error:
        raise Undecidable(f"RE2 refuses the pattern {pattern!r:.200}: {_reason(error)}") from None
    return lambda text: search(_encodable(text)) is not None


def _reason(error: Exception) -> str:
    reason = error.args[0]
    return reason.decode("utf-8", "replace") if isinstance(reason, bytes) else str(error)


def _encodable(text: str) -> str:
    """Put U+FFFD in the place of each lone surrogate, as JSON readers do."""
    try:
        text.encode()
    except UnicodeEncodeError:
        return text.encode("utf-16", "surrogatepass").decode("utf-16", "replace")
    return text
