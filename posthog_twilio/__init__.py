"""Texts the right people, through Twilio, when a PostHog event or action happens."""
