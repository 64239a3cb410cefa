"""The worker that killed.py kills: examples/celery_worker.py, trapped, and quick to recover."""

from __future__ import annotations

from celery_worker import app
from trap import PLAN

app.conf.broker_transport_options = {
    "visibility_timeout": PLAN["lease"] + 1,
    "unacked_restore_interval": 0.5,
    "unacked_restore_throttle": 1,
    "unacked_mutex_expire": 2,  # a worker killed during the sweep holds it
}
