"""What one message holds: taken, settled and dropped in the right order, once."""

from __future__ import annotations

import pytest

from posthog_twilio.caches import Claim
from posthog_twilio.claims import LEASE, REMEMBERED, CacheDown, Claims, key_of


class Noting:
    """A cache that notes what is asked of it; keys that begin with ``held`` are."""

    def __init__(self) -> None:
        self.calls: list[tuple[object, ...]] = []

    def claim(self, key, seconds):
        if key == "down":
            raise ConnectionError("redis://:hunter2@cache is down")
        assert seconds == LEASE
        return Claim(key, "token", "committed" if key.startswith("held") else "new", 0)

    def commit(self, claim, seconds):
        self.calls.append(("commit", claim.key, seconds))

    def release(self, claim):
        self.calls.append(("release", claim.key))


@pytest.fixture
def cache():
    """Hand out a cache that notes."""
    return Noting()


@pytest.fixture
def claims(cache):
    """Hand out the claims of one message."""
    return Claims(cache)


class TestClaims:
    def test_the_lease_is_a_minute_and_the_memory_a_day(self):
        """The promised spans, in seconds."""
        assert (LEASE, REMEMBERED) == (60, 86_400)

    def test_what_was_taken_first_is_settled_first(self, cache, claims):
        """The cooldown is committed before the event: death in between must not cost silence."""
        claims.take("cooldown", 60)
        claims.take("event", 86_400)

        claims.settle()
        claims.settle()
        claims.drop()

        assert cache.calls == [("commit", "cooldown", 60), ("commit", "event", 86_400)]

    def test_what_was_taken_last_is_dropped_first(self, cache, claims):
        """While the event is in hand, its cooldown is."""
        claims.take("cooldown", 60)
        claims.take("event", 86_400)

        claims.drop()
        claims.drop()
        claims.settle()

        assert cache.calls == [("release", "event"), ("release", "cooldown")]

    def test_one_can_be_settled_and_another_dropped(self, cache, claims):
        """What is picked out leaves the rest as it is."""
        _, second, third = (claims.take(key, 1) for key in "abc")

        claims.settle(second)
        claims.drop(third)
        claims.settle(second)
        claims.settle()

        assert cache.calls == [("commit", "b", 1), ("release", "c"), ("commit", "a", 1)]

    def test_what_was_refused_is_not_held(self, cache, claims):
        """Nothing is committed or released that was never granted."""
        assert not claims.take("held by another", 60).granted

        claims.settle()
        claims.drop()

        assert cache.calls == []

    def test_sealed_claims_are_left_to_lapse(self, cache, claims):
        """What may be out is not released as if it had never been tried; it can be settled."""
        claims.take("cooldown", 60)
        claims.seal()

        claims.drop()
        assert cache.calls == []
        claims.settle()
        assert cache.calls == [("commit", "cooldown", 60)]

    def test_a_failing_cache_drops_what_was_taken(self, cache, claims):
        """Nothing is silenced by a claim that no message will follow; no secret is told."""
        claims.take("cooldown", 60)

        with pytest.raises(CacheDown) as caught:
            claims.take("down", 60)

        assert cache.calls == [("release", "cooldown")]
        assert str(caught.value) == "ConnectionError"


class TestKeyOf:
    @pytest.mark.parametrize(
        ("one", "other"),
        [(("a-b", "c"), ("a", "b-c")), (("a", "bc"), ("ab", "c")), (("a", None), ("a", "None"))],
        ids=str,
    )
    def test_other_parts_make_another_key(self, one, other):
        """Wherever parts end, and whether one is missing, shows in the key."""
        assert key_of("cooldown", *one) != key_of("cooldown", *other)

    def test_the_kind_stands_before_the_digest(self):
        """A person who looks into the store can tell what kind a key is, and no more."""
        assert key_of("event", "+15550100001").partition(":")[0] == "event"
        assert "5550100" not in key_of("event", "+15550100001")

    def test_any_text_makes_a_key(self):
        """A lone surrogate in a uuid is still a uuid."""
        assert key_of("event", "\ud800") != key_of("event", "\ud801")
