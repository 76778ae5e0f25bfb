"""/v1/messages: pages by cursor, filters, the look-up by key, the detail with its timeline, cancel."""

import base64
import json
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import msgspec
import pytest

from postclock.api.sendara.messages import message_endpoints
from postclock.core import ids
from postclock.core.address import Mailbox
from postclock.core.errors import Busy
from postclock.core.lifecycle import RecipientState
from postclock.core.message import Content, Personalization, Recipient, Submission
from postclock.service.messages import Messages
from postclock.store.records import LIVE, TEST, Engagement, IdempotencyKey
from tests.support import mails
from tests.support.slow_api import SlowApi, slow_api

BASE = "/v1/messages"
HOUR_MS = 3_600_000
ADA = "ada@example.net"
Headers = dict[str, str]
CALL = Submission(
    from_=Mailbox("hello@example.com", "Acme Receipts"),
    subject="See you Monday",
    contents=(Content("text/html", "<p>Reminder</p>"),),
    idempotency_key="welcome_9f21",
    metadata={"from_email": "hello@example.com", "order": {"id": 7}},
)


@pytest.fixture
async def api(tmp_path: Path) -> AsyncIterator[SlowApi]:
    """The API with /v1/messages."""

    async with slow_api(
        tmp_path, built=lambda store, clock: message_endpoints(Messages(store.messages, clock), clock)
    ) as running:
        yield running


async def sent(
    api: SlowApi,
    *to: str,
    due_in: int = 0,
    mode: int = LIVE,
    submission: Submission = CALL,
    sandbox: bool = False,
    tenant: int | None = None,
    personalization: Personalization | None = None,
) -> str:
    """A message as the send leaves it in the store; its id."""
    now = api.clock.now_ms()
    p = personalization or Personalization(recipients=tuple(Recipient("to", a) for a in to or (ADA,)))
    new = mails.message(now + due_in, *[r.email.lower() for r in p.recipients])
    call = mails.acceptance(
        api.tenant.id if tenant is None else tenant,
        [new._replace(personal=msgspec.msgpack.encode(p))],
        now,
        mode=mode,
        sandbox=sandbox,
        subject=submission.subject,
        key=IdempotencyKey(dialect="sendara", key=submission.idempotency_key, fingerprint=b"f")
        if submission.idempotency_key
        else None,
    )
    accepted = await api.store.messages.accept(
        msgspec.structs.replace(call, content=msgspec.msgpack.encode(submission))
    )
    return ids.public_message_id(*accepted.ids[0])


async def plain(api: SlowApi, *to: str, due_in: int = 0) -> str:
    """A message without a key."""
    return await sent(api, *to, due_in=due_in, submission=msgspec.structs.replace(CALL, idempotency_key=""))


async def listed(api: SlowApi, headers: Headers, **query: Any) -> Any:
    answer = await api.client.get(BASE, headers=headers, params=query)
    assert answer.status_code == 200, answer.text
    return answer.json()


async def found(api: SlowApi, headers: Headers, **query: Any) -> list[str]:
    return [m["id"] for m in (await listed(api, headers, **query))["messages"]]


async def refused(api: SlowApi, headers: Headers, **query: Any) -> str:
    answer = await api.client.get(BASE, headers=headers, params=query)
    error = answer.json()["error"]
    assert (answer.status_code, error["code"], error["status"]) == (400, "invalid_request", 400)
    return str(error["message"])


async def test_an_item_of_the_list(api: SlowApi) -> None:
    """What it is, to whom and about what; the time that was asked for is there when one was."""
    headers = await api.headers()
    ident = await sent(api, "Ada@Example.net", due_in=HOUR_MS)
    assert await listed(api, headers) == {
        "messages": [
            {
                "id": ident,
                "channel": "email",
                "status": "scheduled",
                "message_type": "transactional",
                "to": "Ada@Example.net",
                "subject": "See you Monday",
                "created_at": "2027-01-15T08:00:00Z",
                "scheduled_at": "2027-01-15T09:00:00Z",
            }
        ],
        "next_cursor": None,
    }
    await plain(api)
    assert "scheduled_at" not in (await listed(api, headers))["messages"][0]


async def test_pages_follow_the_cursor_whatever_happens_between_them(api: SlowApi) -> None:
    """New mail comes, rows change their status; each message is shown once, and the last page has no cursor."""
    headers = await api.headers()
    idents = [await plain(api, due_in=HOUR_MS) for _ in range(5)]
    seen: list[str] = []
    cursor: str | None = None
    for size in (2, 1, 2):
        page = await listed(api, headers, limit=size, status="scheduled", **({"cursor": cursor} if cursor else {}))
        seen += [m["id"] for m in page["messages"]]
        cursor = page["next_cursor"]
        await plain(api, due_in=HOUR_MS)
        for ident in seen:
            await api.client.post(f"{BASE}/{ident}/cancel", headers=headers)
    assert seen == idents[::-1]
    assert cursor is None


async def test_a_cursor_is_a_position_in_base64url_without_padding(api: SlowApi) -> None:
    """It holds created_at and id of the last message shown, and nothing of the page's size."""
    headers = await api.headers()
    first = await plain(api)
    second = await plain(api)
    cursor = (await listed(api, headers, limit=1))["next_cursor"]
    assert not set(cursor) & set("+/=")
    assert json.loads(base64.urlsafe_b64decode(cursor + "=" * (-len(cursor) % 4))) == {
        "created_at": "2027-01-15T08:00:00Z",
        "id": second,
    }
    assert await found(api, headers, cursor=cursor, limit=100) == [first]


def encoded(value: Any) -> str:
    return base64.urlsafe_b64encode(json.dumps(value).encode()).rstrip(b"=").decode()


@pytest.mark.parametrize(
    "cursor",
    ["x", "%%%", "é", encoded([]), encoded({"id": "msg_1"}), encoded({"created_at": "x", "id": "msg_1"}), encoded({"created_at": "x", "id": 5}), "A" * 1_001,
     encoded({"created_at": "x" * 300, "id": ids.public_message_id(1, 1)}), base64.b64encode(b"\xff\xfe").decode()],
)  # fmt: skip
async def test_a_cursor_that_is_none_of_ours_is_refused(api: SlowApi, cursor: str) -> None:
    """400 invalid_request, never a 500, and it is named."""
    assert "cursor" in await refused(api, await api.headers(), cursor=cursor)


@pytest.mark.parametrize(
    ("limit", "shown"),
    [("1", 1), ("100", 100), ("101", 100), ("9" * 900, 100), ("0", 50), ("-1", 50), ("ten", 50), ("", 50), ("1.5", 50), ("²", 50), ("007", 7)],
)  # fmt: skip
async def test_a_limit_is_clamped_or_the_default(api: SlowApi, limit: str, shown: int) -> None:
    """Above 100 counts as 100; what is no positive integer counts as 50."""
    headers = await api.headers()
    messages = [mails.message(api.clock.now_ms(), ADA) for _ in range(101)]
    await api.store.messages.accept(mails.acceptance(api.tenant.id, messages, api.clock.now_ms()))
    assert len(await found(api, headers, limit=limit)) == shown


async def test_each_filter_narrows(api: SlowApi) -> None:
    """Status, channel, a part of recipient or subject, created from (inside) and to (outside)."""
    headers = await api.headers()
    early = await plain(api, "ada@example.net", due_in=2 * HOUR_MS)
    api.clock.move(60)
    late = await plain(api, "bob@example.org")
    assert await found(api, headers, status="scheduled") == [early]
    assert await found(api, headers, status="queued") == [late]
    assert await found(api, headers, status="delivered") == []
    assert await found(api, headers, channel="email") == [late, early]
    assert await found(api, headers, channel="sms") == []
    assert await found(api, headers, search="BOB@") == [late]
    assert await found(api, headers, search="monday") == [late, early]
    assert await found(api, headers, **{"from": "2027-01-15T08:01:00Z"}) == [late]
    assert await found(api, headers, to="2027-01-15T09:01:00+01:00") == [early]
    assert await found(api, headers, **{"from": "2027-01-15T08:00:00Z", "to": "2027-01-15T08:01:00Z"}) == [early]
    assert await found(api, headers, status="scheduled", search="bob") == []
    api.clock.move(7_200)
    assert await found(api, headers, status="scheduled") == []
    assert await found(api, headers, status="queued") == [late, early]


@pytest.mark.parametrize(
    ("name", "value"),
    [("status", "rendered"), ("channel", "pigeon"), ("from", "yesterday"), ("to", "2027-13-01"), ("search", "x" * 1_001), ("search", "a\x00b")],
)  # fmt: skip
async def test_a_bad_parameter_is_named(api: SlowApi, name: str, value: str) -> None:
    """400 invalid_request with the parameter's name."""
    assert name in await refused(api, await api.headers(), **{name: value})


async def test_any_date_may_bound_the_list(api: SlowApi) -> None:
    """Years that no id can have find everything or nothing."""
    headers = await api.headers()
    ident = await plain(api)
    assert await found(api, headers, **{"from": "0001-01-01T00:00:00Z", "to": "9999-12-31T23:59:59Z"}) == [ident]
    assert await found(api, headers, **{"from": "9999-12-31T23:59:59Z"}) == []
    assert await found(api, headers, to="0001-01-01T00:00:00Z") == []
    assert await found(api, headers, search="ada", to="0001-01-02T00:00:00Z") == []


async def test_a_search_looks_through_31_days(api: SlowApi) -> None:
    """Without a range the newest; a longer one is refused; with an end alone those before it."""
    headers = await api.headers()
    old = await plain(api)
    api.clock.move(31 * 86_400)
    assert await found(api, headers, search="ada") == [old]
    api.clock.move(1)
    assert await found(api, headers, search="ada") == []
    assert await found(api, headers, search="ada", to="2027-02-01T00:00:00Z") == [old]
    assert "31 days" in await refused(api, headers, search="ada", **{"from": "2027-01-15T08:00:00Z"})
    assert await found(
        api, headers, search="ada", **{"from": "2027-01-15T08:00:00Z", "to": "2027-02-15T08:00:00Z"}
    ) == [old]


async def test_a_list_that_takes_too_long_names_its_filters(api: SlowApi, monkeypatch: pytest.MonkeyPatch) -> None:
    """503 with Retry-After, in the envelope."""

    async def slow(*_: object) -> None:
        raise Busy("the query took longer than it may", retry_after=1)

    monkeypatch.setattr(api.store.messages, "browse", slow)
    answer = await api.client.get(BASE, headers=await api.headers(), params={"search": "ada", "status": "complained"})
    assert (answer.status_code, answer.headers["retry-after"]) == (503, "1")
    assert answer.json()["error"]["code"] == "unavailable"
    assert "status, search" in answer.json()["error"]["message"]


async def test_the_detail_of_a_scheduled_message(api: SlowApi) -> None:
    """Everything the caller gave, its status, and the first event of its timeline."""
    headers = await api.headers()
    ident = await sent(api, due_in=HOUR_MS)
    answer = await api.client.get(f"{BASE}/{ident}", headers=headers)
    assert answer.json() == {
        "id": ident,
        "channel": "email",
        "status": "scheduled",
        "message_type": "transactional",
        "idempotency_key": "welcome_9f21",
        "to": ADA,
        "from": '"Acme Receipts" <hello@example.com>',
        "subject": "See you Monday",
        "template_id": None,
        "metadata": {"from_email": "hello@example.com", "order": {"id": 7}},
        "test_mode": False,
        "created_at": "2027-01-15T08:00:00Z",
        "scheduled_at": "2027-01-15T09:00:00Z",
        "sent_at": None,
        "delivered_at": None,
        "payload": {"subject": "See you Monday", "body_html": "<p>Reminder</p>", "body_text": None},
        "events": [
            {
                "id": answer.json()["events"][0]["id"],
                "event_type": "queued",
                "payload": {"channel": "email", "to": ADA},
                "created_at": "2027-01-15T08:00:00Z",
            }
        ],
    }
    by_key = await api.client.get(BASE, headers=headers, params={"idempotency_key": "welcome_9f21"})
    assert by_key.json() == answer.json()


async def test_an_unknown_key_is_not_found(api: SlowApi) -> None:
    """404 in the envelope, also for another mode's and another tenant's key."""
    await sent(api)
    stranger = await api.headers(tenant=await api.tenants.create("stranger"))
    for headers, key in (
        (await api.headers(), "other"),
        (await api.headers(environment="test"), "welcome_9f21"),
        (stranger, "welcome_9f21"),
        (await api.headers(), "x" * 300),
    ):
        answer = await api.client.get(BASE, headers=headers, params={"idempotency_key": key})
        assert (answer.status_code, answer.json()["error"]["code"]) == (404, "not_found")


async def test_a_v3_message_is_told_in_these_words(api: SlowApi) -> None:
    """The first To address, its custom arguments as metadata, no key; the sandbox counts as delivered."""
    headers = await api.headers()
    p = Personalization(
        recipients=(Recipient("cc", "cc@example.net"), Recipient("to", ADA), Recipient("to", "bob@example.net")),
        from_=Mailbox("other@example.com"),
        subject="Just you",
        custom_args={"b": "2"},
    )
    submission = Submission(from_=Mailbox("hello@example.com"), subject="All", custom_args={"a": "1", "b": "1"})
    ident = await sent(api, submission=submission, personalization=p, sandbox=True)
    told = (await api.client.get(f"{BASE}/{ident}", headers=headers)).json()
    assert {k: told[k] for k in ("status", "to", "from", "subject", "metadata", "idempotency_key", "payload")} == {
        "status": "delivered",
        "to": ADA,
        "from": "other@example.com",
        "subject": "Just you",
        "metadata": {"a": "1", "b": "2"},
        "idempotency_key": None,
        "payload": None,
    }


async def test_what_is_no_longer_kept_is_null(api: SlowApi) -> None:
    """Once the content of a cancelled message is dropped: no payload, and the address as it was compared."""
    headers = await api.headers()
    ident = await sent(api, "Ada@Example.net", due_in=HOUR_MS)
    await api.client.post(f"{BASE}/{ident}/cancel", headers=headers)
    api.clock.move(3 * 86_400)
    await api.store.ledger.retire(api.clock.now_ms(), 30 * 86_400_000, 86_400_000, 86_400_000)
    told = (await api.client.get(f"{BASE}/{ident}", headers=headers)).json()
    assert (told["payload"], told["to"], told["status"]) == (None, ADA, "canceled")
    assert [m["to"] for m in (await listed(api, headers))["messages"]] == [ADA]


async def test_the_timeline_runs_from_acceptance_to_opened(api: SlowApi) -> None:
    """queued, sent or delivered, opened; the status follows the newest, the ids follow the order."""
    headers = await api.headers()
    await api.store.domains.add_domain(api.tenant.id, mails.DOMAIN, (), api.clock.now_ms(), trusted=True)
    ident = await sent(api)
    now = api.clock.now_ms()
    (claimed,) = await api.store.ledger.claim([(0, 1)], now, now)
    revision = (await api.store.ledger.context(api.tenant.id)).revision
    await api.store.ledger.depart([mails.departure(claimed, revision)], now)
    result = mails.result(claimed, now, [RecipientState.delivered])
    await api.store.ledger.record([result], now)
    told = (await api.client.get(f"{BASE}/{ident}", headers=headers)).json()
    assert told["status"] == "delivered"
    assert [e["event_type"] for e in told["events"]] == ["queued", "delivered"]
    assert (told["sent_at"], told["delivered_at"]) == ("2027-01-15T08:00:00Z", "2027-01-15T08:00:00Z")
    week, number = ids.parse_message_id(ident)
    await api.store.messages.engage([Engagement(number, week, "open", 0, now, "", "Mail/1", "192.0.2.1")], now)
    told = (await api.client.get(f"{BASE}/{ident}", headers=headers)).json()
    assert told["status"] == "opened"
    assert [e["event_type"] for e in told["events"]] == ["queued", "delivered", "opened"]
    assert sorted(e["id"] for e in told["events"]) == [e["id"] for e in told["events"]]
    assert await found(api, headers, status="opened") == [ident]
    assert await found(api, headers, status="delivered") == []


async def test_a_test_message_is_accepted_not_queued(api: SlowApi) -> None:
    """Test keys see test messages alone, and their timeline begins with accepted."""
    live, tester = await api.headers(), await api.headers(environment="test")
    ident = await sent(api, mode=TEST)
    told = (await api.client.get(f"{BASE}/{ident}", headers=tester)).json()
    assert (told["test_mode"], [e["event_type"] for e in told["events"]]) == (True, ["accepted"])
    assert (await api.client.get(f"{BASE}/{ident}", headers=live)).status_code == 404
    assert (await found(api, live), await found(api, tester)) == ([], [ident])


# Cancel


async def canceled(api: SlowApi, headers: Headers, ident: str) -> bool:
    answer = await api.client.post(f"{BASE}/{ident}/cancel", headers=headers)
    if answer.status_code == 200:
        assert answer.json() == {"id": ident, "status": "canceled"}
        return True
    error = answer.json()["error"]
    assert (answer.status_code, error["code"], error["status"]) == (404, "not_found", 404)
    return False


async def test_a_scheduled_message_is_canceled_once(api: SlowApi) -> None:
    """200 with id and status; a second call finds nothing to stop; the list and the timeline say canceled."""
    headers = await api.headers()
    ident = await sent(api, due_in=HOUR_MS)
    assert await canceled(api, headers, ident)
    assert not await canceled(api, headers, ident)
    assert await found(api, headers, status="canceled") == [ident]
    told = (await api.client.get(f"{BASE}/{ident}", headers=headers)).json()
    assert [e["event_type"] for e in told["events"]] == ["queued", "canceled"]


async def test_what_cannot_be_canceled_is_not_found_and_stays(api: SlowApi) -> None:
    """Never scheduled, unknown, no id at all, another tenant's, another mode's: 404, and nothing changes."""
    headers = await api.headers()
    queued, scheduled = await plain(api), await plain(api, due_in=HOUR_MS)
    stranger = await api.headers(tenant=await api.tenants.create("stranger"))
    tester = await api.headers(environment="test")
    week, number = ids.parse_message_id(scheduled)
    elsewhere = ids.public_message_id(week + 1, number)
    for who, ident in (
        (headers, queued), (headers, "msg_0000000000000000"), (headers, "none"), (headers, elsewhere), (stranger, scheduled), (tester, scheduled),
    ):  # fmt: skip
        assert not await canceled(api, who, ident)
    assert await found(api, headers, status="scheduled") == [scheduled]
    assert await found(api, headers, status="queued") == [queued]


async def test_each_call_names_the_scope_it_lacks(api: SlowApi) -> None:
    """Reading needs messages.read, which a send key has not; cancel needs mail.cancel, which a read key has not."""
    sender = await api.keys.make(api.tenant, name="s", dialect="sendara", environment="live", scopes=["send"])
    reader = await api.keys.make(api.tenant, name="r", dialect="sendara", environment="live", scopes=["read"])
    ident = await plain(api, due_in=HOUR_MS)
    for made, method, path in (
        (sender, "GET", BASE), (sender, "GET", f"{BASE}/{ident}"), (reader, "POST", f"{BASE}/{ident}/cancel"),
    ):  # fmt: skip
        answer = await api.client.request(method, path, headers={"Authorization": f"Bearer {made.secret}"})
        assert (answer.status_code, answer.json()["error"]["code"]) == (403, "forbidden")
    assert await canceled(api, {"Authorization": f"Bearer {sender.secret}"}, ident)
