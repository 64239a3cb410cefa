"""Where ``run`` keeps its cooldowns."""

from __future__ import annotations

import os
from pathlib import Path
from typing import TYPE_CHECKING
from urllib.parse import SplitResult, urlsplit

from posthog_twilio.caches import MemoryCache
from posthog_twilio.cli.usage import UsageError

if TYPE_CHECKING:
    from posthog_twilio.caches import Cache

REDIS = ("redis", "rediss", "unix")
FILE = "cooldowns.sqlite"


def open_cache(where: str | None) -> tuple[Cache, str]:
    """
    Open the cache that ``--cache`` names.

    Args:
        where: the path of a SQLite file, the URL of a Redis, or ``memory:``; None is a file among
            the user's state files.

    Returns:
        The cache, and where it is in words, without credentials.

    Raises:
        UsageError: it cannot be opened.

    """
    if where == "memory:":
        return MemoryCache(), "in memory; they end with this process"
    if where and (url := _url(where)).scheme in REDIS:
        return _redis(where), f"in Redis at {url.netloc.rpartition('@')[2] or 'a socket'}"
    path = where or default_path()
    from posthog_twilio.caches import SQLiteCache

    try:
        if where is None:
            Path(path).parent.mkdir(parents=True, exist_ok=True, mode=0o700)
        return SQLiteCache(path), f"in {path}"
    except (OSError, ValueError, RuntimeError) as error:
        raise UsageError(f"--cache: {error}") from None


def _url(where: str) -> SplitResult:
    try:
        return urlsplit(where)
    except ValueError:  # its text may hold a password
        raise UsageError("--cache: expected a URL such as redis://localhost:6379/0") from None


def default_path() -> str:
    """
    Return the file for the cooldowns of this user.

    With the ``cli`` extra it is where the platform keeps such files; without, it
    is where the XDG Base Directory Specification has them, ``~/.local/state``.
    """
    try:
        from platformdirs import user_state_path
    except ImportError:
        state = os.environ.get("XDG_STATE_HOME", "")
        folder = Path(state) if os.path.isabs(state) else Path.home() / ".local" / "state"
        return str(folder / "posthog-twilio" / FILE)
    return str(user_state_path("posthog-twilio", appauthor=False) / FILE)


def _redis(url: str) -> Cache:
    try:
        import redis
    except ImportError:
        raise UsageError(
            "--cache needs redis for such a URL: pip install 'posthog-twilio[redis]'"
        ) from None
    from posthog_twilio.caches import RedisCache

    try:
        return RedisCache(redis.Redis.from_url(url))
    except (ValueError, TypeError):
        raise UsageError("--cache: expected a URL such as redis://localhost:6379/0") from None
