"""
Celery: texts from any number of machines, with Redis as the broker and for the cooldowns.

    celery -A examples.celery_worker worker -P prefork --without-gossip --without-mingle
    python examples/celery_worker.py < events.jsonl

The first command works; the second, in another terminal, hands it the events that match.
Both read the parameters of plugin.json from the file that ``POSTHOG_TWILIO_CONFIG`` names
(``config.json``) and find Redis at ``REDIS_URL`` (``redis://127.0.0.1:6379/0``).

    pip install 'posthog-twilio[redis]' 'celery[redis]'
"""

from __future__ import annotations

import json
import os
import sys
from pathlib import Path
from typing import Any

from celery import Celery
from redis import Redis

from posthog_twilio import InvalidEvent, RetryError, on_event, setup_plugin
from posthog_twilio.caches import RedisCache
from posthog_twilio.events import parse_events

REDIS_URL = os.environ.get("REDIS_URL", "redis://127.0.0.1:6379/0")
CONFIG = Path(os.environ.get("POSTHOG_TWILIO_CONFIG", "config.json"))

app = Celery(broker=REDIS_URL)
app.conf.task_acks_late = True  # a task leaves the queue when it is done, not when it is taken,
app.conf.task_reject_on_worker_lost = True  # and goes back when its process is killed
app.conf.worker_prefetch_multiplier = 1
app.conf.broker_transport_options = {
    # Seconds until the tasks of a machine that died go to another one.  Keep it above the
    # longest back-off, else a task that waits for its next try is handed out twice.
    "visibility_timeout": 120,
    "unacked_restore_throttle": 1,  # look for such tasks every 10 s, not every 100
}

# Made here, so that a faulty config stops the worker and the producer at once.  That is safe
# before a fork: it connects to nothing, and each process opens connections of its own.
meta = setup_plugin(json.loads(CONFIG.read_bytes()), cache=RedisCache(Redis.from_url(REDIS_URL)))


# A crash keeps an event waiting for a minute, an outage of Twilio's longer: tried for some 5 hours.
@app.task(
    name="posthog_twilio.text",
    autoretry_for=(RetryError,),
    retry_backoff=True,
    retry_backoff_max=60,
    max_retries=600,
)
def text(event: dict[str, Any]) -> list[str]:
    """Text everybody whom *event* concerns; running it again with the same event is safe."""
    return [outcome.status.value for outcome in on_event(event, meta)]


if __name__ == "__main__":
    for number, line in enumerate(sys.stdin, start=1):
        try:
            for event in filter(meta.matches, parse_events(line)):
                text.delay(dict(event))
        except InvalidEvent as error:
            print(f"line {number}: {error}", file=sys.stderr)
