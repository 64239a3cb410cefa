"""Cooldowns in Redis, for any number of machines."""

from __future__ import annotations

import inspect
import math
from typing import Any

from posthog_twilio.caches._protocol import DAY, Claim, as_seconds, new_token

# Times are milliseconds of Redis' own clock, whole, so that Lua keeps every digit.
RECORD = """
local clock = redis.call('TIME')
local now = clock[1] * 1000 + math.floor(clock[2] / 1000)
local key, token, span = KEYS[1], ARGV[1], tonumber(ARGV[2])
local record = redis.call('HMGET', key, 'token', 'state', 'asks', 'busy_until',
    'kept_until', 'lapsed_until', 'held_back', 'refused')
local owner, state = record[1], record[2]
local asks = tonumber(record[3] or 0)
local busy_until = tonumber(record[4] or 0)
local kept_until = tonumber(record[5] or 0)
local lapsed_until = tonumber(record[6] or 0)
local held_back = tonumber(record[7] or 0)
local refused = record[8] or ''
local held = owner == token and now < busy_until

local function whole(number) return string.format('%.0f', number) end
local function expire() return state == 'committed' and asks == 0 and busy_until or kept_until end
local function write(...)
    redis.call('HSET', key, 'state', state, 'asks', whole(asks),
        'busy_until', whole(busy_until), 'kept_until', whole(kept_until),
        'lapsed_until', whole(lapsed_until), ...)
    redis.call('PEXPIREAT', key, whole(expire()))
end
"""

# The client may ask again when an answer got lost: the same token gets the same answer.
CLAIM = (
    RECORD
    + f"""
local day, remembered = {DAY * 1000}, 4096
if now >= expire() then
    state, asks, busy_until, kept_until, lapsed_until, refused = 'free', 0, 0, 0, 0, ''
end
if held then
    return {{now < lapsed_until and 'lapsed' or 'new', held_back}}
end
local earlier, count = string.match(refused, token .. ':(%a+):(%d+);')
if earlier then
    return {{earlier, tonumber(count)}}
end
held_back, asks = asks, asks + 1
if now < busy_until then
    refused = refused .. token .. ':' .. state .. ':' .. whole(held_back) .. ';'
    write('refused', string.sub(refused, -remembered))
    return {{state, held_back}}
end
if state == 'pending' then
    lapsed_until = busy_until + day
end
state, busy_until = 'pending', now + span
kept_until = math.max(kept_until, busy_until + math.max(span, day))
write('token', token, 'held_back', whole(held_back), 'refused', refused)
return {{now < lapsed_until and 'lapsed' or 'new', held_back}}
"""
)

COMMIT = (
    RECORD
    + f"""
local day = {DAY * 1000}
if held then
    if state == 'pending' then
        asks = math.max(0, asks - tonumber(ARGV[3]) - 1)
    end
    state, busy_until, lapsed_until = 'committed', now + span, 0
    kept_until = busy_until + math.max(span, day)
    write()
end
"""
)

RELEASE = (
    RECORD
    + """
if held and state == 'pending' then
    state, asks, busy_until = 'free', math.max(0, asks - 1), 0
    if asks == 0 then -- then nothing has lapsed either: it would be in the count
        redis.call('DEL', key)
    else
        write('token', '')
    end
end
"""
)


class RedisCache:
    """
    Cooldowns in Redis (5 or newer): exact among all machines that share it.

    Each verb is one round trip: a script that Redis runs as a whole, by its own
    clock, on one hash that always has an expiry.  A client that asks again
    because an answer got lost gets the same answer, and nothing is counted twice
    (unless some 80 others were refused on the same key in between; then the
    count may be one too high).

    Redis must run with ``maxmemory-policy noeviction``: every key has an expiry,
    so any other policy may throw a running cooldown away, and its message is
    sent again.  When ``noeviction`` is full, Redis refuses to write, and nothing is
    sent until there is room.  A failover to a replica may lose the last
    milliseconds of claims, since Redis replicates after it has answered.

    Args:
        client: a ``redis.Redis``.  It stays the caller's, who closes it.
        prefix: what our keys begin with.
        timeout: seconds that connecting, and an answer, may take.  redis-py's own
            defaults wait 5 seconds or for ever, and retry; a Redis that is down
            would hold every event up.  So a plain client only lends its settings:
            the calls go over connections of our own, with this bound (or the
            client's, if that is less) and no retries.  Clients of Sentinel, of a
            cluster and of other makes are used as they are, and so is any client
            with ``timeout=None``.

    Raises:
        TypeError: the client is an asyncio one, or none.

    """

    def __init__(
        self, client: Any, prefix: str = "posthog_twilio:", *, timeout: float | None = 0.5
    ) -> None:
        if not hasattr(client, "register_script") or inspect.iscoroutinefunction(
            client.execute_command
        ):
            kind = f"{type(client).__module__}.{type(client).__qualname__}"
            raise TypeError(f"expected a synchronous client such as redis.Redis, got {kind}")
        self._pool = None if timeout is None else bounded_pool(client, timeout)
        if self._pool is not None:
            client = import_redis().Redis(connection_pool=self._pool)
        self._prefix = prefix
        self._claim = client.register_script(CLAIM)
        self._commit = client.register_script(COMMIT)
        self._release = client.register_script(RELEASE)

    def claim(self, key: str, seconds: float) -> Claim:
        """See :meth:`Cache.claim`."""
        token = new_token()
        state, held_back = self._claim([self._prefix + key], [token, as_milliseconds(seconds)])
        if isinstance(state, bytes):  # it depends on the client's decode_responses
            state = state.decode()
        return Claim(key, token, state, held_back)

    def commit(self, claim: Claim, seconds: float) -> None:
        """See :meth:`Cache.commit`."""
        self._commit(
            [self._prefix + claim.key], [claim.token, as_milliseconds(seconds), claim.held_back]
        )

    def release(self, claim: Claim) -> None:
        """See :meth:`Cache.release`."""
        self._release([self._prefix + claim.key], [claim.token])

    def close(self) -> None:
        """Close our own connections, never the client's; safe to call twice."""
        if self._pool is not None:
            self._pool.disconnect()


def import_redis() -> Any:
    """Import redis-py, which only a user of this cache needs."""
    import redis

    return redis


def bounded_pool(client: Any, timeout: float) -> Any:
    """Make connections like the client's that give up in time; None for a client we don't know."""
    pool: Any = getattr(client, "connection_pool", None)
    if not type(pool).__module__.startswith("redis."):
        return None
    redis = import_redis()
    if type(pool) not in (redis.ConnectionPool, redis.BlockingConnectionPool):
        return None
    # redis-py derives the "orig_" ones from the limits that we replace.
    settings = {k: v for k, v in pool.connection_kwargs.items() if not k.startswith("orig_")}
    limits = (
        ["socket_timeout"] if "path" in settings else ["socket_timeout", "socket_connect_timeout"]
    )
    settings |= {name: min(settings.get(name) or timeout, timeout) for name in limits}
    settings["retry"] = redis.retry.Retry(redis.backoff.NoBackoff(), 0)
    return redis.ConnectionPool(
        connection_class=pool.connection_class, max_connections=pool.max_connections, **settings
    )


def as_milliseconds(seconds: float) -> int:
    """Round *seconds* up: a span is never shorter than asked for."""
    return math.ceil(as_seconds(seconds) * 1000)
