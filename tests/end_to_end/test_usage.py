"""Usage, spend caps and test recipients by Sendara's own Python library against the running service, and by a kill in between."""

import re
from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import httpx
import msgspec
import pytest
from sendara import Sendara
from sendara.errors import SendaraError

from postclock.core.plan import Plan, Spending
from postclock.runtime.shifted_clock import ClockFile
from postclock.stores import Opened
from tests.end_to_end.parts import QUICK, Ground, again, ground, mail, soon, until

NONE = Plan()
FROM = "hello@mail.example.com"
LINK = re.compile(rb"http://127\.0\.0\.1:\d+/t/r/[A-Za-z0-9_-]+")


def month() -> str:
    return datetime.now(UTC).strftime("%Y-%m")


def hence(seconds: float) -> str:
    """A moment from now on, in RFC 3339."""
    return (datetime.now(UTC) + timedelta(seconds=seconds)).isoformat().replace("+00:00", "Z")


@pytest.fixture(scope="module")
def client(shared: Ground) -> Iterator[Sendara]:
    """The library's client, as its users make it."""
    with Sendara(shared.service.key(["admin"], dialect="sendara"), base_url=shared.service.url) as made:
        yield made


def refused(client: Sendara, to: str) -> tuple[int | None, str | None] | None:
    """(status, code) of a refusal; None when the mail was taken: the figures at acceptance may be a second old."""
    try:
        send(client, to)
    except SendaraError as error:
        return error.status, error.code
    return None


@pytest.fixture(autouse=True)
def _no_plan(shared: Ground) -> Iterator[None]:
    """Each story begins and ends without limits."""
    yield
    set_up(shared)


def set_up(here: Ground, plan: Plan = NONE) -> None:
    """The tenant's plan, with a default sender and no caps; from now on, and quicker than a command."""

    async def work(store: Opened) -> None:
        tenant = await store.accounts.tenant_named("default")
        await store.accounts.change_settings(
            tenant.id, lambda s: msgspec.structs.replace(s, default_from=FROM, spending=Spending(plan=plan))
        )

    here.service.beside(work)


def send(client: Sendara, to: str, **more: Any) -> str:
    ident = client.emails.send(to=to, subject="News", text="Hello", from_=FROM, **more).id
    assert isinstance(ident, str)
    return ident


def counted(client: Sendara) -> tuple[int, int, int]:
    """(sends, cost, free sends) of this month."""
    found = client.usage.get()
    assert found.total_send_count is not None
    assert found.total_cost_micros is not None
    return found.total_send_count, found.total_cost_micros, found["free_send_count"]


def test_usage_is_what_was_handed_off(client: Sendara, shared: Ground) -> None:
    """By either dialect; what waits for its time is not counted yet."""
    before = counted(client)
    send(client, "usage-one@example.com", message_type="marketing")
    shared.caller.send(mail("usage-two@example.com", "usage-three@example.com"))
    later = send(client, "usage-later@example.com", scheduled_at=hence(3_600))
    shared.wait_for("usage-one@example.com")
    shared.wait_for("usage-three@example.com")
    after = counted(client)
    assert (after[0] - before[0], after[1], after[2]) == (3, 0, before[2])
    found = client.usage.get(period=month())
    assert (found.period, found.total_send_count, found.marketing_send_count) == (month(), after[0], 1)
    assert [c["channel"] for c in found.channels or []] == ["email"]
    client.request("POST", f"/v1/messages/{later}/cancel")


def test_a_plan_that_is_used_up_refuses_in_both_dialects(client: Sendara, shared: Ground) -> None:
    """402 spend_cap_exceeded on /v1, 403 with errors on /v3; what was scheduled is accepted, and fails when its time comes."""
    used = counted(client)[0]
    assert shared.service.cli_json("plans", "set", "default", f"included={used}")["included"] == used
    waits = client.emails.send(to="capped@example.com", subject="x", text="x", from_=FROM, scheduled_at=hence(3_600)).id
    ident = shared.caller.send(mail("capped-later@example.com", send_at=soon(5)))[0]
    with pytest.raises(SendaraError) as refused:
        send(client, "capped@example.com")
    assert (refused.value.status, refused.value.code) == (402, "spend_cap_exceeded")
    answer = shared.caller.http.post("/v3/mail/send", json=mail("capped@example.com"))
    assert answer.status_code == 403
    assert "used up" in answer.json()["errors"][0]["message"]
    failed = shared.caller.settles(ident, "failed")
    assert failed["events"][-1]["metadata"]["reason"].startswith("plan limit reached: ")
    assert not shared.came_to("capped-later@example.com")
    assert counted(client)[0] == used
    client.request("POST", f"/v1/messages/{waits}/cancel")


def test_the_limits_at_hand_off_are_those_that_count(client: Sendara, shared: Ground) -> None:
    """A plan that is widened before the time comes lets the message go."""
    set_up(shared, Plan(included=0))
    before = counted(client)
    ident = shared.caller.send(mail("widened@example.com", send_at=soon(6)))[0]
    set_up(shared, Plan(price_micros=250))
    shared.caller.settles(ident, "delivered")
    after = counted(client)
    assert (after[0] - before[0], after[1] - before[1]) == (1, 250)


def test_spend_caps_are_set_by_the_library(client: Sendara, shared: Ground) -> None:
    """The account's and a key's; past the key's hard cap that key alone is refused, at once."""
    set_up(shared, Plan(price_micros=100))
    echo = client.usage.set_spend_cap(soft_limit_micros=1, hard_limit_micros=10**12)
    assert (echo["soft_limit_micros"], echo["hard_limit_micros"], echo["key_id"]) == (1, 10**12, None)
    secret = shared.service.key(["send"], dialect="sendara")
    key = shared.service.key_ids[secret]
    assert client.usage.set_spend_cap(key_id=key, hard_limit_micros=100)["key_id"] == key
    with Sendara(secret, base_url=shared.service.url, max_retries=0) as poor:
        send(poor, "poor-one@example.com")
        shared.wait_for("poor-one@example.com")
        caps = client.request("GET", "/v1/spend-caps")
        assert [(c["key_id"], c["cost_micros"], c["hard_limit_reached"]) for c in caps["keys"]] == [(key, 100, True)]
        assert until(lambda: refused(poor, "poor-two@example.com")) == (402, "spend_cap_exceeded")
    send(client, "rich@example.com")
    shared.wait_for("rich@example.com")
    assert not shared.came_to("poor-two@example.com")
    with pytest.raises(SendaraError) as unknown:
        client.usage.set_spend_cap(key_id="key_0000000000000", hard_limit_micros=1)
    assert (unknown.value.status, unknown.value.code) == (404, "not_found")


def test_a_verified_test_recipient_gets_real_mail_for_nothing(client: Sendara, shared: Ground) -> None:
    """Named by the library, confirmed by the link in the mail and its button; then free, also when scheduled, with nothing left in the plan."""
    set_up(shared)
    made = client.test_recipients.create("inbox@example.com")
    assert made.id is not None
    assert (made.email, made.status, made.verified_at) == ("inbox@example.com", "pending", None)
    with pytest.raises(SendaraError) as unverified:
        send(client, "inbox@example.com", test_send=True)
    assert (unverified.value.status, unverified.value.code) == (422, "invalid_recipient")
    asked = shared.wait_for("inbox@example.com")
    found = LINK.search(asked.content.replace(b"=\r\n", b""))
    assert found is not None
    url = found[0].decode()
    assert url.startswith(shared.service.url)
    assert "Confirm" in httpx.get(url, trust_env=False).text
    assert [r.status for r in client.test_recipients.list()] == ["pending"]
    assert httpx.post(url, trust_env=False).status_code == 200
    (verified,) = client.test_recipients.list()
    assert (verified.id, verified.status) == (made.id, "verified")
    before = counted(client)
    set_up(shared, Plan(included=0))
    send(client, "inbox@example.com", test_send=True)
    shared.wait_for("inbox@example.com", 2)
    shared.caller.send(mail("inbox@example.com", send_at=soon(2)))
    shared.wait_for("inbox@example.com", 3)
    after = counted(client)
    assert (after[0] - before[0], after[1] - before[1], after[2] - before[2]) == (0, 0, 2)
    client.test_recipients.delete(made.id)
    assert client.test_recipients.list() == []
    with pytest.raises(SendaraError) as refused:
        send(client, "inbox@example.com")
    assert refused.value.code == "spend_cap_exceeded"


def test_the_library_asks_for_the_mail_again(client: Sendara, shared: Ground) -> None:
    """Too soon: 429, told as the library tells it."""
    set_up(shared)
    with Sendara(shared.service.key(["admin"], dialect="sendara"), base_url=shared.service.url, max_retries=0) as plain:
        made = plain.test_recipients.create("again@example.com")
        assert made.id is not None
        with pytest.raises(SendaraError) as early:
            plain.test_recipients.resend(made.id)
        assert (early.value.status, early.value.code) == (429, "rate_limit_exceeded")
        plain.test_recipients.delete(made.id)


def test_usage_survives_a_kill_between_departure_and_record(tmp_path: Path) -> None:
    """What had departed was charged with it; the next life sends it again and charges no more."""
    with ground(tmp_path, QUICK, args=("--die-at", "departed")) as here:
        set_up(here, Plan(included=1, price_micros=100))
        ident = here.caller.send(mail("killed@example.com", "also@example.com"))[0]
        assert here.service.wait() == -9
        again(here)
        here.caller.settles(ident, "delivered")
        with Sendara(here.service.key(["admin"], dialect="sendara"), base_url=here.service.url) as client:
            assert counted(client) == (2, 100, 0)


def test_a_month_that_turns_between_schedule_and_hand_off(tmp_path: Path) -> None:
    """The scheduled message counts in the month in which it goes out, and by what is left of the plan there."""
    today = datetime.now(UTC)
    turn = datetime(today.year + today.month // 12, today.month % 12 + 1, 1, tzinfo=UTC)
    hand = ClockFile(tmp_path / "clock")
    ahead = round((turn - today).total_seconds() * 1000) - 60_000
    hand.shift(ahead)
    with ground(tmp_path, args=("--clock-file", str(hand.path))) as here:
        set_up(here, Plan(included=1))
        with Sendara(here.service.key(["admin"], dialect="sendara"), base_url=here.service.url) as client:
            now = datetime.now(UTC) + timedelta(milliseconds=ahead)
            # At most a minute: by more than that a clock is not believed at once.
            hand.shift(ahead + max(0, round((turn - now).total_seconds() * 1000) - 8_000))
            here.caller.settles(here.caller.send(mail("old-month@example.com"))[0], "delivered")
            ident = here.caller.send(mail("new-month@example.com", send_at=round(turn.timestamp())))[0]
            here.caller.settles(ident, "delivered")
            months = [today.strftime("%Y-%m"), turn.strftime("%Y-%m")]
            assert [client.usage.get(period=m).total_send_count for m in months] == [1, 1]
            assert client.usage.get().period == months[1]
