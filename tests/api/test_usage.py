"""/v1/usage and /v1/spend-caps: what a month has counted, and limits that are set, told of and felt."""

from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any, cast

import msgspec
import pytest

from postclock.api.sendara.usage import usage_endpoints
from postclock.core.account import ALL_SCOPES, Principal, Scope
from postclock.core.address import Mailbox
from postclock.core.errors import Invalid, SpendCapExceeded
from postclock.core.ids import public_id
from postclock.core.message import Submission
from postclock.core.plan import MAX_KEY_CAPS, MAX_MICROS, Cap, Plan, Spending
from postclock.service.accounts import KeyMade, public_key_id
from postclock.service.usage import CapChange, Usage
from postclock.store.interface import Store
from postclock.store.steps.work import Charge
from tests.support.slow_api import SlowApi, bearer, slow_api

MONTH = 202701  # of the clock that stands still
MAIL = Submission(from_=Mailbox("hello@example.com"))


@pytest.fixture
async def api(tmp_path: Path) -> AsyncIterator[SlowApi]:
    """The API with the endpoints of usage."""
    async with slow_api(
        tmp_path, built=lambda store, clock: usage_endpoints(Usage(cast(Store, store).metering, store.accounts, clock))
    ) as running:
        yield running


async def charge(api: SlowApi, *, month: int = MONTH, kind: str = "transactional", key: int = 0, n: int = 0, free: int = 0, cost: int = 0) -> None:  # fmt: skip
    """What a hand-off writes."""
    await api.store._desk.write(lambda tx: tx.charge(Charge(api.tenant.id, month, kind, key, n, free, cost)))  # type: ignore[attr-defined]


async def plan(api: SlowApi, **parts: Any) -> None:
    await api.store.accounts.change_settings(
        api.tenant.id, lambda s: msgspec.structs.replace(s, spending=Spending(**parts))
    )
    api.authenticator.forget()


async def test_a_month_is_told_by_channel_and_message_type(api: SlowApi) -> None:
    """The current UTC month unless another is asked for; what was free stands beside the total."""
    await plan(api, plan=Plan(included=1_000, price_micros=400), caps=Cap(soft_micros=500, hard_micros=5_000))
    await charge(api, n=3, cost=400, free=2)
    await charge(api, kind="marketing", n=2, cost=800)
    await charge(api, month=202612, n=9, cost=0)
    headers = await api.headers()
    answer = await api.client.get("/v1/usage", headers=headers)
    parts = {
        "transactional_send_count": 3,
        "transactional_cost_micros": 400,
        "marketing_send_count": 2,
        "marketing_cost_micros": 800,
        "free_send_count": 2,
    }
    assert answer.json() == parts | {
        "period": "2027-01",
        "total_send_count": 5,
        "total_cost_micros": 1_200,
        "channels": [{"channel": "email", "send_count": 5, "cost_micros": 1_200} | parts],
        "included": 1_000,
        "price_micros": 400,
        "soft_limit_micros": 500,
        "hard_limit_micros": 5_000,
        "soft_limit_reached": True,
        "hard_limit_reached": False,
    }
    before = (await api.client.get("/v1/usage?period=2026-12", headers=headers)).json()
    assert (before["period"], before["total_send_count"]) == ("2026-12", 9)
    empty = (await api.client.get("/v1/usage?period=2026-11", headers=headers)).json()
    assert (empty["total_send_count"], [c["channel"] for c in empty["channels"]]) == (0, ["email"])


@pytest.mark.parametrize("period", ["2026", "2026-13", "2026-00", "2026-6", "2026-06-01", "202606", "x", "²026-06"])
async def test_a_bad_period_is_refused(api: SlowApi, period: str) -> None:
    """400 with the name of the parameter."""
    answer = await api.client.get("/v1/usage", params={"period": period}, headers=await api.headers())
    assert answer.status_code == 400
    assert answer.json()["error"]["code"] == "invalid_request"
    assert "period" in answer.json()["error"]["message"]


async def test_a_test_key_finds_nothing_counted_and_changes_no_cap(api: SlowApi) -> None:
    """Test mail costs nothing, and live mail is none of its business."""
    await charge(api, n=3, cost=400)
    headers = await api.headers(environment="test")
    assert (await api.client.get("/v1/usage", headers=headers)).json()["total_send_count"] == 0
    assert (await api.client.get("/v1/spend-caps", headers=headers)).json()["cost_micros"] == 0
    answer = await api.client.put("/v1/spend-caps", headers=headers, json={"hard_limit_micros": 1})
    assert (answer.status_code, answer.json()["error"]["code"]) == (403, "forbidden")


async def test_a_tenant_sees_its_own_usage_alone(api: SlowApi) -> None:
    """A neighbour's month is empty."""
    await charge(api, n=3, cost=400)
    neighbour = await api.headers(tenant=await api.tenants.create("neighbour"))
    assert (await api.client.get("/v1/usage", headers=neighbour)).json()["total_send_count"] == 0


async def test_a_cap_is_echoed_kept_and_cleared(api: SlowApi) -> None:
    """What is left out stays, null clears."""
    headers = await api.headers()
    await charge(api, n=1, cost=700)

    async def put(**body: Any) -> dict[str, Any]:
        answer = await api.client.put("/v1/spend-caps", headers=headers, json=body)
        assert answer.status_code == 200, answer.text
        said: dict[str, Any] = answer.json()
        return said

    assert await put(soft_limit_micros=600, hard_limit_micros=700) == {
        "key_id": None,
        "soft_limit_micros": 600,
        "hard_limit_micros": 700,
        "cost_micros": 700,
        "soft_limit_reached": True,
        "hard_limit_reached": True,
    }
    assert (await put(hard_limit_micros=MAX_MICROS))["soft_limit_micros"] == 600
    assert (await put(soft_limit_micros=None))["hard_limit_micros"] == MAX_MICROS
    # A number beyond 64 bits makes the body one that is decoded with more care: null says the same there.
    answer = await api.client.put(
        "/v1/spend-caps",
        headers=headers,
        content=b'{"hard_limit_micros": null, "note": 123456789012345678901234567890}',
    )
    assert answer.json()["hard_limit_micros"] is None
    caps = (await api.client.get("/v1/spend-caps", headers=headers)).json()
    assert (caps["soft_limit_micros"], caps["hard_limit_micros"], caps["keys"]) == (None, None, [])
    assert (await api.client.put("/v1/spend-caps", headers=headers)).status_code == 200


async def test_a_key_has_a_cap_of_its_own(api: SlowApi) -> None:
    """Named by its public id; without limits it is no longer listed."""
    made = await api.key()
    key, headers = public_key_id(made.key), bearer(made)
    await charge(api, key=made.key.id, n=1, cost=250)
    await charge(api, n=1, cost=100)
    answer = await api.client.put("/v1/spend-caps", headers=headers, json={"key_id": key, "hard_limit_micros": 900})
    assert (answer.json()["key_id"], answer.json()["cost_micros"]) == (key, 250)
    caps = (await api.client.get("/v1/spend-caps", headers=headers)).json()
    assert (caps["cost_micros"], caps["hard_limit_micros"]) == (350, None)
    assert [(k["key_id"], k["hard_limit_micros"]) for k in caps["keys"]] == [(key, 900)]
    await api.client.put("/v1/spend-caps", headers=headers, json={"key_id": key, "hard_limit_micros": None})
    assert (await api.client.get("/v1/spend-caps", headers=headers)).json()["keys"] == []


async def test_a_key_that_is_not_the_tenants_is_not_found(api: SlowApi) -> None:
    """Unknown, a neighbour's, or no id at all: they look alike."""
    foreign = await api.key(tenant=await api.tenants.create("neighbour"))
    for key in ("key_0000000000000", public_id("key_", 1), public_key_id(foreign.key), "", "x"):
        answer = await api.client.put("/v1/spend-caps", headers=await api.headers(), json={"key_id": key})
        assert (answer.status_code, answer.json()["error"]["code"]) == (404, "not_found"), key


@pytest.mark.parametrize("value", [-1, MAX_MICROS + 1, 10**30, 1.5, "100", True, []])
@pytest.mark.parametrize("field", ["soft_limit_micros", "hard_limit_micros"])
async def test_a_bad_limit_is_refused(api: SlowApi, field: str, value: Any) -> None:
    """400 with the name of the field; nothing changes."""
    headers = await api.headers()
    answer = await api.client.put("/v1/spend-caps", headers=headers, json={field: value})
    assert answer.status_code == 400
    assert field in answer.json()["error"]["message"]
    assert (await api.client.get("/v1/spend-caps", headers=headers)).json()[field] is None


async def test_reading_and_setting_need_different_scopes(api: SlowApi) -> None:
    """Usage is a statistic; a cap is a setting."""
    reader = await api.headers([Scope.stats_read])
    writer = await api.headers([Scope.admin_settings])
    for path in ("/v1/usage", "/v1/spend-caps"):
        assert (await api.client.get(path, headers=reader)).status_code == 200
        assert (await api.client.get(path, headers=writer)).status_code == 403
    assert (await api.client.put("/v1/spend-caps", headers=reader, json={})).status_code == 403
    assert (await api.client.put("/v1/spend-caps", headers=writer, json={})).status_code == 200


# At acceptance


async def caller(api: SlowApi, made: KeyMade | None = None) -> Principal:
    made = made or await api.key(ALL_SCOPES)
    return await api.authenticator.authenticate(f"Bearer {made.secret}")


@pytest.fixture
def usage(api: SlowApi) -> Usage:
    """The service over the same store."""
    return Usage(cast(Store, api.store).metering, api.store.accounts, api.clock, api.authenticator.forget)


async def test_a_call_that_cannot_fit_now_is_refused(api: SlowApi, usage: Usage) -> None:
    """By the plan, the tenant's cap or the key's; with figures at most a second old."""
    made = await api.key()
    await plan(api, plan=Plan(included=5))
    await charge(api, n=3)
    await usage.may_spend(await caller(api, made), MAIL, 2)
    with pytest.raises(SpendCapExceeded, match="the 5 recipients that the plan includes this month are used up"):
        await usage.may_spend(await caller(api, made), MAIL, 3)
    await charge(api, n=1)
    await usage.may_spend(await caller(api, made), MAIL, 2)
    api.clock.move(1.0)
    with pytest.raises(SpendCapExceeded):
        await usage.may_spend(await caller(api, made), MAIL, 2)
    await plan(api, plan=Plan(price_micros=100), caps=Cap(hard_micros=100), key_caps={made.key.id: Cap(hard_micros=0)})
    with pytest.raises(SpendCapExceeded, match="the API key's hard spend cap of 0 micro-dollars"):
        await usage.may_spend(await caller(api, made), MAIL, 1)
    await usage.may_spend(await caller(api), MAIL, 1)
    with pytest.raises(SpendCapExceeded, match="the hard spend cap of 100 micro-dollars"):
        await usage.may_spend(await caller(api), MAIL, 2)


async def test_what_costs_nothing_is_never_refused(api: SlowApi, usage: Usage) -> None:
    """Test mail, our own mail, and a call to nobody who counts."""
    await plan(api, plan=Plan(included=0))
    await usage.may_spend(await caller(api, await api.key(environment="test")), MAIL, 9)
    await usage.may_spend(await caller(api), msgspec.structs.replace(MAIL, free=True), 9)
    await usage.may_spend(await caller(api), MAIL, 0)


async def test_a_tenant_without_limits_asks_the_store_nothing(api: SlowApi) -> None:
    """Acceptance costs it nothing; a price alone is no limit."""
    await plan(api, plan=Plan(price_micros=400))
    nothing = Usage(cast(Any, None), cast(Any, None), api.clock)
    await nothing.may_spend(await caller(api), MAIL, 9)


async def test_a_new_month_has_new_sums(api: SlowApi, usage: Usage) -> None:
    """What was remembered of the month before does not stand against it."""
    await plan(api, plan=Plan(included=1))
    await charge(api, n=1)
    with pytest.raises(SpendCapExceeded):
        await usage.may_spend(await caller(api), MAIL, 1)
    api.clock.move(32 * 86_400)
    await usage.may_spend(await caller(api), MAIL, 1)


@pytest.fixture
def warnings(monkeypatch: pytest.MonkeyPatch) -> list[dict[str, Any]]:
    """What the log is warned of."""
    told: list[dict[str, Any]] = []

    class Log:
        def warning(self, _: str, **fields: Any) -> None:
            told.append(fields)

    monkeypatch.setattr("postclock.service.usage._log", Log())
    return told


async def test_a_soft_cap_is_logged_once_a_month(api: SlowApi, usage: Usage, warnings: list[dict[str, Any]]) -> None:
    """It refuses nothing; the tenant's and a key's are told of apart."""
    made = await api.key()
    await plan(
        api, plan=Plan(price_micros=100), caps=Cap(soft_micros=500), key_caps={made.key.id: Cap(soft_micros=300)}
    )
    await charge(api, key=made.key.id, n=3, cost=300)
    for _ in range(3):
        await usage.may_spend(await caller(api, made), MAIL, 1)
        api.clock.move(1.0)
    key = public_key_id(made.key)
    assert warnings == [{"tenant": "default", "key": key}]
    await charge(api, n=2, cost=200)
    await usage.month(await caller(api, made))
    await usage.month(await caller(api, made))
    assert warnings[1:] == [{"tenant": "default", "key": None}]


async def test_only_so_many_keys_have_a_cap(api: SlowApi, usage: Usage) -> None:
    """The caps travel with the tenant's settings; the one that is there already can be changed."""
    await plan(api, key_caps={n: Cap(hard_micros=1) for n in range(1, MAX_KEY_CAPS)})
    last, one_more = await api.key(), await api.key()
    change = CapChange(hard=7, sets=frozenset({"hard"}))
    for _ in range(2):
        await usage.set_cap(await caller(api), public_key_id(last.key), change)
    with pytest.raises(Invalid, match="At most 500 keys"):
        await usage.set_cap(await caller(api), public_key_id(one_more.key), change)
