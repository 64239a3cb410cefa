"""
What Twilio's error codes ask a person to do.

Sources: Twilio's error dictionary, https://www.twilio.com/docs/api/errors, and
the table of its test credentials, https://www.twilio.com/docs/iam/test-credentials.
"""

from __future__ import annotations

NOT_PROCESSED = frozenset({20429, 21611, 21730})
"""Twilio took nothing in, so sending once more cannot send twice."""

HOURS_AWAY = frozenset({63038})
"""As above, but waiting a few seconds is no use."""

_CREDENTIALS = "check accountSID, authToken and apiKeySID"
_SENDER = "check senderPhoneNumber: it must be an SMS-capable sender of this account"
_NUMBER = "not a number that Twilio can text; correct it"

ADVICE = {
    20003: f"Twilio does not accept the credentials; {_CREDENTIALS}",
    20005: "the Twilio account is not active; see Twilio's console",
    20006: f"access denied; {_CREDENTIALS}",
    20008: "test credentials cannot do this; use live ones",
    20403: f"access denied; {_CREDENTIALS}",
    20404: "Twilio knows no such account; check accountSID and apiBaseURL",
    20429: "too many requests to Twilio at once",
    21211: _NUMBER,
    21212: _SENDER,
    21214: _NUMBER,
    21217: _NUMBER,
    21265: "the recipient is a short code, which cannot be texted",
    21266: "the recipient is the sender itself",
    21401: _NUMBER,
    21408: "the account may not text this country; allow it in Twilio's Geo Permissions",
    21602: "the message was empty; check messageTemplate",
    21603: "there was no sender; check senderPhoneNumber",
    21604: "there was no recipient; check triggeringEventsAndNumber",
    21606: _SENDER,
    21608: "a trial account texts verified numbers only; verify this one or upgrade",
    21610: "the recipient opted out; only they can undo it, by texting START to the sender",
    21611: "the sender's queue at Twilio is full; send from more numbers or less often",
    21612: "this sender cannot reach this recipient",
    21614: "the recipient is not a mobile number",
    21617: "the message is longer than 1600 characters; set maxSegments",
    21635: "the recipient is a landline",
    21659: _SENDER,
    21660: _SENDER,
    21701: "no such Messaging Service; check senderPhoneNumber",
    21703: "the Messaging Service has no numbers; add one in Twilio's console",
    21704: "the Messaging Service has no numbers; add one in Twilio's console",
    21705: "the Messaging Service cannot be used; check senderPhoneNumber",
    21730: "Twilio is in maintenance",
    21910: "sender and recipient are not on the same channel; check senderPhoneNumber",
    63003: "the channel knows no such recipient",
    63007: "no such channel sender in this account; check senderPhoneNumber",
    63024: "the channel knows no such recipient",
    63038: "the account's daily message limit is used up",
}

ADVICE_BY_STATUS = {
    401: f"Twilio does not accept the credentials; {_CREDENTIALS}",
    403: f"access denied; {_CREDENTIALS}",
    404: "Twilio knows no such account; check accountSID and apiBaseURL",
    429: "too many requests to Twilio at once",
}
