"""Bodies as they travel: gzipped, in a form, in base64."""

from __future__ import annotations

import io
import re
from base64 import urlsafe_b64decode
from urllib.parse import parse_qs

from posthog_twilio.errors import InvalidEvent

BLANK = "\ufeff \t\r\n"
GZIP_MAGIC = b"\x1f\x8b"
_MAX_UNZIPPED = 256 * 2**20
"""Bytes; a small gzipped body can hold more than any memory."""

_FORM = re.compile(r"(?:[A-Za-z0-9_.-]+=[^&\s]*&)*data=")
_BASE64 = re.compile(r"[A-Za-z0-9+/_-]{8,}={0,2}")


def unpacked(body: str | bytes | bytearray | memoryview) -> str:
    """Return the JSON text of a body: gunzipped, out of the form, out of base64."""
    text = body if isinstance(body, str) else _as_text_body(bytes(body))
    if _FORM.match(stripped := text.strip(BLANK)):
        text = parse_qs(stripped).get("data", [""])[0]
    encoded = text.strip(BLANK).replace(" ", "+")  # a form's plus signs are blanks
    if not _BASE64.fullmatch(encoded):
        return text
    urlsafe = encoded.rstrip("=").replace("+", "-").replace("/", "_")
    try:
        decoded = urlsafe_b64decode(urlsafe + "=" * (-len(urlsafe) % 4))
    except ValueError:
        return text
    return _as_text_body(decoded) if decoded[:1] in (b"{", b"[", GZIP_MAGIC[:1]) else text


def _as_text_body(body: bytes) -> str:
    if body.startswith(GZIP_MAGIC):
        body = _unzipped(body)
    try:
        return body.decode()
    except UnicodeDecodeError as error:
        raise InvalidEvent(f"not UTF-8 text (byte {error.start + 1})") from None


def _unzipped(body: bytes) -> bytes:
    import gzip
    import zlib

    try:
        with gzip.GzipFile(fileobj=io.BytesIO(body)) as file:
            content = file.read(_MAX_UNZIPPED + 1)
    except (OSError, EOFError, zlib.error):
        raise InvalidEvent("expected gzipped JSON, got gzip data that is broken or cut") from None
    if len(content) > _MAX_UNZIPPED:
        raise InvalidEvent(f"expected at most {_MAX_UNZIPPED} bytes of gzipped JSON, got more")
    return content
