"""
Where cooldowns are kept: one protocol, one file per store.

===============  =======================  ==========================================
store            shared by                outlives
===============  =======================  ==========================================
`MemoryCache`    threads                  nothing: a restart starts every cooldown anew
`SQLiteCache`    processes of a machine   restarts and power cuts
`RedisCache`     machines                 restarts, as far as the Redis server does
`HostCache`      whoever shares the host  what the host's cache outlives; not atomic
===============  =======================  ==========================================
"""

from __future__ import annotations

from importlib import import_module
from typing import TYPE_CHECKING

from posthog_twilio.caches._protocol import Cache, Claim
from posthog_twilio.caches.host import HostCache
from posthog_twilio.caches.memory import MemoryCache
from posthog_twilio.caches.redis import RedisCache

if TYPE_CHECKING:
    from posthog_twilio.caches.sqlite import SQLiteCache

__all__ = ["Cache", "Claim", "HostCache", "MemoryCache", "RedisCache", "SQLiteCache"]


def __getattr__(name: str) -> object:
    if name == "SQLiteCache":  # sqlite3 costs 4 ms, which only its users pay
        return import_module(f"{__name__}.sqlite").SQLiteCache
    raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
