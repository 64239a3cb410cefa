"""What travels between a client and Twilio: one request in, one reply out."""

from __future__ import annotations

import base64
import binascii
from typing import TYPE_CHECKING
from urllib.parse import parse_qs, urlsplit

from attrs import field, frozen

from posthog_twilio.phone import mask

if TYPE_CHECKING:
    from collections.abc import Mapping


def _masked(value: object) -> str:
    return mask(repr(value))


@frozen(kw_only=True)
class Request:
    """
    One HTTP request, as Twilio would read it off the wire.

    Attributes:
        method: ``GET`` or ``POST``, in upper case.
        path: the path without the query, such as
            ``/2010-04-01/Accounts/AC.../Messages.json``.
        user: the SID of the account or API key that signed it; None without
            Basic authentication.
        query: the parameters of the URL, each with all its values.
        form: the parameters of the body, each with all its values.

    """

    method: str
    path: str = field(repr=_masked)
    user: str | None = None
    password: str | None = field(default=None, repr=False)
    query: Mapping[str, list[str]] = field(factory=dict, repr=False)
    form: Mapping[str, list[str]] = field(factory=dict, repr=False)

    @classmethod
    def parse(cls, method: str, url: str, authorization: str | None, body: str | None) -> Request:
        """Read a request from its parts; *body* is a URL-encoded form."""
        target = urlsplit(url)
        user, password = _parse_basic(authorization)
        return cls(
            method=method.upper(),
            path=target.path,
            user=user,
            password=password,
            query=parse_qs(target.query, keep_blank_values=True),
            form=parse_qs(body or "", keep_blank_values=True),
        )

    def value(self, name: str) -> str | None:
        """Return the first value of a parameter; None where it is missing or empty."""
        values = (self.form if self.method == "POST" else self.query).get(name, [])
        return values[0] or None if values else None


@frozen(kw_only=True)
class Reply:
    """
    What comes back for a request.

    Attributes:
        status: the HTTP status; 0 where none comes back.
        body: the text of the body, JSON in most cases.
        headers: the headers that carry meaning here.
        failure: None for an answer that arrives whole, else the word that
            :meth:`FakeTwilio.fail` knows the failure by.

    """

    status: int = 0
    body: str = field(default="", repr=_masked)
    headers: Mapping[str, str] = field(factory=dict)
    failure: str | None = None


def _parse_basic(header: str | None) -> tuple[str | None, str | None]:
    scheme, _, token = (header or "").partition(" ")
    if scheme.lower() != "basic":
        return None, None
    try:
        user, _, password = base64.b64decode(token, validate=True).decode().partition(":")
    except (binascii.Error, UnicodeDecodeError):
        return None, None
    return user, password
