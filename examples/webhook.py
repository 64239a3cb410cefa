"""
FastAPI: the endpoint of PostHog's destination "HTTP Webhook".

    pip install posthog-twilio fastapi uvicorn standardwebhooks
    WEBHOOK_SECRET=whsec_... uvicorn --app-dir examples webhook:app

POST to ``/posthog``.  ``WEBHOOK_SECRET`` is the destination's signing secret (Standard Webhooks).
Without signing, set ``WEBHOOK_TOKEN`` and let the destination send the same text as the header
``X-Webhook-Token``.  The parameters of plugin.json come from the file that
``POSTHOG_TWILIO_CONFIG`` names (``config.json``); ``COOLDOWNS`` names the SQLite file.

PostHog waits 10 s for an answer, and a Twilio that hangs may take a minute.  So a thread sends, and
after 8 s the answer is 503 while the thread goes on.  What it delivers again meanwhile is RETRY
and so 503 again; once the thread is done it is COOLING_DOWN or DUPLICATE, so 200.  PostHog repeats
408, 429 and 5xx only, and only a few times within seconds.  To outlast a longer outage, put a queue
behind this (celery_worker.py).
"""

from __future__ import annotations

import asyncio
import hmac
import json
import os
from collections.abc import AsyncIterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

from fastapi import FastAPI, Request
from fastapi.responses import JSONResponse
from standardwebhooks import Webhook, WebhookVerificationError

from posthog_twilio import InvalidEvent, RetryError, on_event, setup_plugin, teardown_plugin
from posthog_twilio.caches import SQLiteCache
from posthog_twilio.events import parse_events

DEADLINE = 8.0
LARGEST = 4 << 20
CONFIG = Path(os.environ.get("POSTHOG_TWILIO_CONFIG", "config.json"))
SECRET, TOKEN = os.environ.get("WEBHOOK_SECRET"), os.environ.get("WEBHOOK_TOKEN")
if not (SECRET or TOKEN):
    raise SystemExit("set WEBHOOK_SECRET or WEBHOOK_TOKEN: anybody could send texts")

webhook = Webhook(SECRET) if SECRET else None
cache = SQLiteCache(os.environ.get("COOLDOWNS", "cooldowns.sqlite"))
meta = setup_plugin(json.loads(CONFIG.read_bytes()), cache=cache)
threads = ThreadPoolExecutor(32, thread_name_prefix="texting")


@asynccontextmanager
async def lifespan(_: FastAPI) -> AsyncIterator[None]:
    yield
    threads.shutdown()  # what is being sent is finished
    teardown_plugin(meta)
    cache.close()


app = FastAPI(lifespan=lifespan, openapi_url=None)


@app.post("/posthog")
async def receive(request: Request) -> JSONResponse:
    body = b""
    async for chunk in request.stream():
        body += chunk
        if len(body) > LARGEST:
            return answer(413, error=f"expected at most {LARGEST} bytes")
    if not is_genuine(body, dict(request.headers)):
        return answer(401, error="expected a valid, recent signature or the token")
    sending = asyncio.get_running_loop().run_in_executor(threads, text, body)
    try:
        return await asyncio.wait_for(sending, DEADLINE)
    except asyncio.TimeoutError:  # what still waited for a thread never starts
        return answer(503, error="not done yet")


def is_genuine(body: bytes, headers: dict[str, str]) -> bool:
    """Check the signature of the body as it came, else the token."""
    if webhook is None:
        given = headers.get("x-webhook-token", "")
        return hmac.compare_digest(given.encode(), str(TOKEN).encode())
    try:
        webhook.verify(body, headers, json_parse=False)
    except (WebhookVerificationError, ValueError):  # the second: a header or body out of shape
        return False
    return True


def text(body: bytes) -> JSONResponse:
    """Text about every event in the body; runs in a thread."""
    outcomes, again = [], None
    try:
        for event in parse_events(body):
            try:
                outcomes += on_event(event, meta)
            except RetryError as error:
                outcomes, again = [*outcomes, *error.outcomes], str(error)
    except InvalidEvent as error:
        return answer(400, error=str(error))
    said = {"outcomes": [outcome.status.value for outcome in outcomes]}
    return answer(503, error=again, **said) if again else answer(200, **said)


def answer(status: int, **content: Any) -> JSONResponse:
    return JSONResponse(content, status, {"Retry-After": "30"} if status == 503 else None)
