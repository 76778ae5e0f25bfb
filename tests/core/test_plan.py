"""Plans and caps: what the next recipients of a month cost, and whether they may be sent at all."""

import msgspec
from hypothesis import given
from hypothesis import strategies as st

from postclock.core.account import TenantSettings
from postclock.core.plan import Cap, Plan, Spending, Spent, refusal

counts = st.integers(0, 1_000)
amounts = st.none() | st.integers(0, 1_000)
plans = st.builds(Plan, included=amounts, price_micros=amounts)


@given(plans, counts, counts, counts)
def test_it_costs_the_same_however_it_is_divided(plan: Plan, sent: int, first: int, second: int) -> None:
    """A group of departures comes to what its messages come to one by one."""
    together = plan.cost(sent, first + second)
    assert plan.cost(sent, first) + plan.cost(sent + first, second) == together
    assert together == sum(plan.cost(sent + k, 1) for k in range(first + second))


@given(plans, counts)
def test_the_first_ones_are_included_and_each_further_one_has_its_price(plan: Plan, k: int) -> None:
    """As it is written in the plan."""
    included = 0 if plan.included is None else plan.included
    assert plan.cost(k, 1) == (0 if plan.price_micros is None or k < included else plan.price_micros)
    assert plan.covers(k, 1) is not (plan.included is not None and plan.price_micros is None and k >= plan.included)


@given(plans, amounts, counts, counts, counts)
def test_nothing_is_refused_without_limits(plan: Plan, soft: int | None, n: int, cost: int, more: int) -> None:
    """Whatever has been spent: a soft cap and a mere price refuse nothing, and need no look at the month."""
    spending = Spending(plan=plan, caps=Cap(soft_micros=soft), key_caps={7: Cap(soft_micros=soft)})
    if not spending.has_limits:
        assert refusal(spending, Spent(n=n, cost_micros=cost), 7, more) is None
        assert plan.cost(n, more) == plan.cost(0, more)


def test_what_is_free_fits_under_every_cap() -> None:
    """A cap on money does not stop what costs none."""
    cap = Cap(hard_micros=0)
    assert cap.holds(500, 0)
    assert not cap.holds(0, 1)
    assert Cap(hard_micros=10).holds(0, 10)
    assert not Cap(hard_micros=10).holds(1, 10)


def test_limits_are_reached_when_nothing_is_left_of_them() -> None:
    """And a limit that is not there never is."""
    assert not Cap().is_soft_reached(10**15)
    assert not Cap().is_hard_reached(10**15)
    cap = Cap(soft_micros=5, hard_micros=6)
    assert [(cap.is_soft_reached(n), cap.is_hard_reached(n)) for n in (4, 5, 6)] == [
        (False, False),
        (True, False),
        (True, True),
    ]


def test_settings_that_were_stored_before_there_were_plans_have_none() -> None:
    """And a plan comes back from the store as it went in, keys by number."""
    decode = msgspec.msgpack.Decoder(TenantSettings).decode
    assert decode(b"\x80").spending == Spending()
    assert not decode(b"\x80").spending.has_limits
    spending = Spending(plan=Plan(included=1, price_micros=2), caps=Cap(hard_micros=3), key_caps={2**62: Cap(soft_micros=4)})  # fmt: skip
    stored = msgspec.msgpack.encode(TenantSettings(spending=spending))
    assert decode(stored).spending == spending
    assert msgspec.msgpack.encode(TenantSettings()) == b"\x80"
