"""The worker that killed.py kills: examples/celery_worker.py, trapped, and quick to recover."""

from __future__ import annotations

from celery.app import autoretry
from celery_worker import app
from trap import PLAN

app.conf.broker_transport_options = {
    "visibility_timeout": PLAN["lease"] + 1,
    "unacked_restore_interval": 0.5,
    "unacked_restore_throttle": 1,
    "unacked_mutex_expire": 2,  # a worker killed during the sweep holds it
}
# The example's back-off is made for minutes, and must stay below the visibility timeout.
autoretry.get_exponential_backoff_interval = lambda **_: 1
