"""Ceilings: what a window holds, what is told about it, and that memory stays bounded."""

from pathlib import Path

import pytest

from postclock.api.limits import MAX_COUNTED, Ceiling, Limits
from postclock.core.account import ApiKey, Principal, Tenant, TenantSettings
from postclock.core.errors import Limited
from postclock.service.share import Share
from postclock.store.records import Life
from tests.support.clock import MovedClock
from tests.support.slow_api import SlowApi, slow_api


def principal(*, key: int = 1, tenant: int = 1, settings: TenantSettings | None = None) -> Principal:
    return Principal(
        key=ApiKey(
            id=key, tenant=tenant, prefix="", name="", dialect="scaisend", environment="live", scopes=frozenset(), created_at=0
        ),
        tenant=Tenant(
            id=tenant, name="", suspended=False, revision=1, settings=settings or TenantSettings(), created_at=0
        ),
    )  # fmt: skip


def taken(limits: Limits, who: Principal, ceiling: Ceiling) -> int:
    """How many are let through until one is refused."""
    n = 0
    try:
        while True:
            limits.take(who, ceiling)
            n += 1
    except Limited:
        return n


@pytest.mark.parametrize(
    ("ceiling", "limit", "seconds"),
    [
        (Ceiling.sends, 10_000, 1),
        (Ceiling.requests, 1_000, 1),
        (Ceiling.message_lists, 100, 1),
        (Ceiling.new_keys, 10, 60),
        (Ceiling.new_webhooks, 10, 60),
        (Ceiling.new_domains, 10, 60),
        (Ceiling.confirmations, 10, 60),
    ],
)
def test_the_documented_ceilings_hold(ceiling: Ceiling, limit: int, seconds: float) -> None:
    """So many in a window and not one more; when it is over, as many again."""
    clock = MovedClock()
    limits = Limits(clock)
    assert taken(limits, principal(), ceiling) == limit
    clock.move(seconds - 0.001)
    assert taken(limits, principal(), ceiling) == 0
    clock.move(0.001)
    assert taken(limits, principal(), ceiling) == limit


def test_what_is_left_is_counted_down() -> None:
    """Each answer tells the limit, what remains of it, and when the window is over in Unix seconds."""
    clock = MovedClock(now_ms=1_800_000_000_400)
    limits = Limits(clock)
    first = limits.take(principal(), Ceiling.new_keys)
    assert (first.limit, first.remaining, first.reset_at) == (10, 9, 1_800_000_061)
    clock.move(30)
    second = limits.take(principal(), Ceiling.new_keys)
    assert (second.remaining, second.reset_at) == (8, 1_800_000_061)


def test_a_refusal_says_when_to_come_back() -> None:
    """Seconds until the window is over, at least one; refused calls do not count."""
    clock = MovedClock()
    limits = Limits(clock)
    taken(limits, principal(), Ceiling.new_keys)
    clock.move(20.5)
    with pytest.raises(Limited) as refused:
        limits.take(principal(), Ceiling.new_keys)
    assert (refused.value.limit, refused.value.remaining, refused.value.retry_after) == (10, 0, 40)
    taken(limits, principal(), Ceiling.requests)
    with pytest.raises(Limited) as again:
        limits.take(principal(), Ceiling.requests)
    assert again.value.retry_after == 1


def test_sends_count_for_the_tenant_and_requests_for_the_credential() -> None:
    """Two keys of a tenant share its sends and have requests of their own."""
    limits = Limits(MovedClock())
    taken(limits, principal(key=1), Ceiling.sends)
    assert taken(limits, principal(key=2), Ceiling.sends) == 0
    assert taken(limits, principal(key=3, tenant=2), Ceiling.sends) == 10_000
    taken(limits, principal(key=1), Ceiling.requests)
    assert taken(limits, principal(key=2), Ceiling.requests) == 1_000


def test_a_tenants_own_rates_count() -> None:
    """What the operator set takes the place of the defaults, also in an open window."""
    limits = Limits(MovedClock())
    slow = principal(settings=TenantSettings(rate_sends=3, rate_requests=2))
    assert taken(limits, slow, Ceiling.sends) == 3
    assert taken(limits, slow, Ceiling.requests) == 2
    assert taken(limits, slow, Ceiling.message_lists) == 2
    quick = principal(settings=TenantSettings(rate_sends=5))
    assert taken(limits, quick, Ceiling.sends) == 2


def test_a_process_holds_its_share() -> None:
    """With three live processes each lets a third through, and one at least."""
    limits = Limits(MovedClock(), share=lambda: 1 / 3)
    assert taken(limits, principal(), Ceiling.requests) == 333
    assert taken(limits, principal(settings=TenantSettings(rate_sends=1)), Ceiling.sends) == 1


def test_a_share_follows_the_live_processes() -> None:
    """This one counts always, the others when they answer callers; all together let through no more than the ceiling."""
    share = Share(own=1)
    limits = Limits(MovedClock(), share)
    assert taken(limits, principal(key=1), Ceiling.requests) == 1_000
    share.seen([Life(2, 1, 5, api=True), Life(3, 1, 5, api=False)])  # its own life is not there yet
    assert taken(limits, principal(key=2), Ceiling.requests) == 500
    share.seen([Life(1, 1, 1, api=True), Life(2, 1, 6, api=True), Life(4, 1, 1, api=True)])
    assert taken(limits, principal(key=3), Ceiling.requests) == 333
    assert taken(limits, principal(key=2), Ceiling.requests) == 0
    share.seen([])
    assert taken(limits, principal(key=4), Ceiling.requests) == 1_000


def test_the_wall_clock_may_jump() -> None:
    """Windows are measured on the hand that never goes back."""
    clock = MovedClock()
    limits = Limits(clock)
    taken(limits, principal(), Ceiling.new_keys)
    clock.jump(-3_600)
    assert taken(limits, principal(), Ceiling.new_keys) == 0
    clock.jump(7_200)
    assert taken(limits, principal(), Ceiling.new_keys) == 0


def test_windows_in_memory_are_bounded(monkeypatch: pytest.MonkeyPatch) -> None:
    """The one that was not used for longest is forgotten first."""
    assert MAX_COUNTED == 50_000
    monkeypatch.setattr("postclock.api.limits.MAX_COUNTED", 3)
    limits = Limits(MovedClock())
    for key in range(1, 4):
        assert taken(limits, principal(key=key), Ceiling.requests) == 1_000
    assert taken(limits, principal(key=1), Ceiling.requests) == 0
    assert taken(limits, principal(key=4), Ceiling.requests) == 1_000
    assert len(limits) == 3
    assert taken(limits, principal(key=1), Ceiling.requests) == 0
    assert taken(limits, principal(key=2), Ceiling.requests) == 1_000


async def test_every_answer_tells_what_is_left(api: SlowApi) -> None:
    """The three headers stand on successes and on refusals that were counted."""
    headers = await api.headers()
    good = await api.client.get("/v3/scopes", headers=headers)
    assert good.headers["X-RateLimit-Limit"] == "1000"
    assert good.headers["X-RateLimit-Remaining"] == "999"
    assert good.headers["X-RateLimit-Reset"] == "1800000001"
    missing = await api.client.get("/v3/templates/d-none", headers=headers)
    assert (missing.status_code, missing.headers["X-RateLimit-Remaining"]) == (404, "998")
    stranger = await api.client.get("/v3/scopes")
    assert "X-RateLimit-Limit" not in stranger.headers


async def test_over_the_ceiling_is_429(tmp_path: Path) -> None:
    """The refusal carries Retry-After and the three headers, each once."""
    async with slow_api(tmp_path) as api:
        await api.tenants.set("default", ["rate_requests=1"])
        headers = await api.headers()
        assert (await api.client.get("/v3/scopes", headers=headers)).status_code == 200
        answer = await api.client.get("/v3/scopes", headers=headers)
        assert (answer.status_code, answer.json()) == (429, {"detail": "Rate limit exceeded"})
        assert answer.headers["Retry-After"] == "1"
        assert answer.headers.get_list("X-RateLimit-Limit") == ["1"]
        assert answer.headers["X-RateLimit-Remaining"] == "0"
        assert answer.headers["X-RateLimit-Reset"] == "1800000001"
