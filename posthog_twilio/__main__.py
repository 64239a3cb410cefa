"""``python -m posthog_twilio`` is the command ``posthog-twilio``."""

from posthog_twilio.cli import main

if __name__ == "__main__":  # pragma: no branch
    raise SystemExit(main())
