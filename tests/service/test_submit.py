"""Submit: what is answered before what, what is refused, and what a taken call looks like in the store."""

import asyncio
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any, Final

import msgspec
import pytest

from postclock.core import ids
from postclock.core.account import ALL_SCOPES, ApiKey, Principal, Scope, Tenant
from postclock.core.address import Mailbox
from postclock.core.errors import Busy, Forbidden, Invalid, KeyReused
from postclock.core.lifecycle import State
from postclock.core.message import Attachment, Mode, Personalization, Recipient, Submission
from postclock.core.template import Template, TemplateVersion
from postclock.service.submit import Handed, Submit, Taken
from postclock.store.records import BULK_FROM, LIVE, TEST, Claimed
from postclock.store.sqlite.store import SqliteStore, open_store
from postclock.store.views import MessageDetail
from tests.support.clock import MovedClock

DOMAIN: Final = "example.com"
TEMPLATE: Final = "d-00000000000000000000000000000001"
HOUR: Final = 3_600_000
_submission = msgspec.msgpack.Decoder(Submission).decode


class Desk:
    """A tenant with a verified domain that submits."""

    def __init__(self, store: SqliteStore, clock: MovedClock, tenant: Tenant) -> None:
        self.store = store
        self.clock = clock
        self.tenant = tenant
        self.source = ids.IdSource(clock, 1)
        self.full = False
        self.points: list[str] = []
        self.submit = Submit(
            messages=store.messages,
            ledger=store.ledger,
            templates=store.templates,
            clock=clock,
            make_id=self.source,
            has_room=self._has_room,
            on_point=self.points.append,
        )

    def _has_room(self) -> None:
        if self.full:
            raise Busy("full", status=507)

    @property
    def now(self) -> int:
        return self.clock.now_ms()

    def who(self, *without: Scope, mode: Mode = "live") -> Principal:
        """A key with every scope but these."""
        key = ApiKey(
            id=1, tenant=self.tenant.id, prefix="sg_live_", name="key", dialect="scaisend", environment=mode,
            scopes=ALL_SCOPES - frozenset(without), created_at=0,
        )  # fmt: skip
        return Principal(key=key, tenant=self.tenant)

    async def send(self, call: Handed | None = None, who: Principal | None = None) -> Taken:
        return await self.submit.send(who or self.who(), call or handed())

    async def detail(self, accepted: Taken, n: int = 0, mode: int = LIVE) -> MessageDetail:
        return await self.store.messages.detail(self.tenant.id, mode, accepted.ids[n][1])

    async def claimed(self, ahead: int = 24 * HOUR) -> list[Claimed]:
        """What the engine would find."""
        return await self.store.ledger.claim([(lane, 100) for lane in (0, 1, 2)], self.now, self.now + ahead)

    async def is_empty(self) -> bool:
        return not await self.claimed(10_000 * HOUR)

    async def batch(self) -> int:
        ident = self.source.next()
        await self.store.messages.create_batch(ident, self.tenant.id, LIVE, self.now)
        return ident

    async def template(self, *, active: bool = True, generation: str = "dynamic", ident: str = TEMPLATE) -> None:
        version = TemplateVersion(id=self.source.next(), template=ident, name="v1", subject="Hi", active=active)
        made = Template(
            id=ident, name=ident, generation=generation,  # type: ignore[arg-type]
            created_at=1, updated_at=1, versions=(version,),
        )  # fmt: skip
        await self.store.templates.create_template(self.tenant.id, made)

    async def domain(self, name: str) -> None:
        await self.store.domains.add_domain(self.tenant.id, name, (), self.now, trusted=True)


def person(to: str = "ada@example.net", **more: Any) -> Personalization:
    return Personalization(recipients=(Recipient("to", to),), **more)


def handed(*people: Personalization, key: tuple[str, bytes] | None = None, **more: Any) -> Handed:
    """A call; fields of Handed, the rest goes into the submission."""
    call: dict[str, Any] = {"batch_id": None, "sandbox": False, "needs_schedule": False, "files": {}}
    call |= {name: more.pop(name) for name in tuple(more) if name in call}
    told: dict[str, Any] = {"from_": Mailbox(f"hello@{DOMAIN}"), "subject": "Digest"} | more
    return Handed(
        submission=Submission(**told),
        personalizations=people or (person(),),
        idempotency=key,
        dialect="scaisend",
        **call,
    )


@pytest.fixture
async def desk(tmp_path: Path) -> AsyncIterator[Desk]:
    clock = MovedClock()
    store = open_store(tmp_path / "data", clock)
    try:
        tenant = await store.accounts.create_tenant("shop", clock.now_ms())
        made = Desk(store, clock, tenant)
        await made.domain(DOMAIN)
        yield made
    finally:
        store.close()


async def refused(desk: Desk, call: Handed, who: Principal | None = None) -> list[tuple[str | None, str]]:
    """The (field, message) of each error; nothing was stored."""
    with pytest.raises(Invalid) as invalid:
        await desk.send(call, who)
    assert await desk.is_empty()
    return [(e.field, e.message) for e in invalid.value.errors]


async def test_a_taken_call_is_durable_and_due_now(desk: Desk) -> None:
    """Once it is answered the engine finds it; ids name the week."""
    accepted = await desk.send()
    ((week, ident),) = accepted.ids
    assert not accepted.replayed
    assert desk.points == ["accept_committed"]
    assert week == ids.week_of(desk.now)
    (claim,) = await desk.claimed()
    assert (claim.id, claim.lane, claim.due_at, claim.start_at) == (ident, 0, desk.now, desk.now)


async def test_a_replay_is_answered_before_anything_can_refuse(desk: Desk) -> None:
    """The disk is full, the domain gone, the scope taken away: the first answer stands, and nothing is sent twice."""
    call = handed(key=("k", b"f" * 32), needs_schedule=True)
    first = await desk.send(call)
    desk.full = True
    await desk.store.domains.set_verified(desk.tenant.id, DOMAIN, None)
    again = await desk.send(call, desk.who(Scope.mail_schedule))
    assert (again.ids, again.replayed) == (first.ids, True)
    assert len(await desk.claimed()) == 1


async def test_the_same_key_with_another_body_is_refused(desk: Desk) -> None:
    """Even with a full disk: it is the caller's mistake."""
    await desk.send(handed(key=("k", b"f" * 32)))
    desk.full = True
    with pytest.raises(KeyReused):
        await desk.send(handed(key=("k", b"g" * 32)))


async def test_the_same_key_twice_at_once_is_one_message(desk: Desk) -> None:
    """Whoever comes second gets the first one's answer."""
    call = handed(key=("k", b"f" * 32))
    answers = await asyncio.gather(*(desk.send(call) for _ in range(10)))
    assert len({a.ids for a in answers}) == 1
    assert sum(not a.replayed for a in answers) == 1
    assert len(await desk.claimed()) == 1


async def test_a_full_disk_takes_nothing(desk: Desk) -> None:
    """507, before anything is looked at."""
    desk.full = True
    with pytest.raises(Busy):
        await desk.send(handed(template_id="d-unknown"))
    assert await desk.is_empty()


async def test_what_is_wrong_is_told_before_what_is_forbidden(desk: Desk) -> None:
    """An unknown template with a missing scope and a foreign domain is a 400; all that is wrong is listed."""
    call = handed(
        from_=Mailbox("x@other.example"), template_id=TEMPLATE, needs_schedule=True,
        batch_id=ids.public_id("bat_", 12345),
    )  # fmt: skip
    told = await refused(desk, call, desk.who(Scope.mail_schedule))
    assert [field for field, _ in told] == ["template_id", "batch_id"]


async def test_a_missing_scope_and_a_foreign_domain_are_forbidden(desk: Desk) -> None:
    """The scope first; each names its field."""
    with pytest.raises(Forbidden, match=r"Missing required scope: mail\.schedule") as scope:
        await desk.send(handed(from_=Mailbox("x@other.example"), needs_schedule=True), desk.who(Scope.mail_schedule))
    assert scope.value.field == "send_at"
    with pytest.raises(Forbidden, match=r"Sender domain not verified: other\.example") as domain:
        await desk.send(handed(from_=Mailbox("x@other.example")))
    assert domain.value.field == "from"
    with pytest.raises(Forbidden, match=r"third\.example"):
        await desk.send(handed(person(from_=Mailbox("x@third.example"))))
    assert await desk.is_empty()


async def test_a_domain_added_this_very_second_works(desk: Desk) -> None:
    """What was remembered is looked up again before a refusal."""
    await desk.send()
    with pytest.raises(Forbidden):
        await desk.send(handed(from_=Mailbox("x@new.example")))
    await desk.domain("new.example")
    await desk.send(handed(from_=Mailbox("x@New.Example")))


@pytest.mark.parametrize(
    ("make", "message"),
    [
        ({}, f"Template not found: {TEMPLATE}"),
        ({"active": False}, f"The template {TEMPLATE} has no active version: activate one first."),
        ({"generation": "legacy"}, f"The template {TEMPLATE} is not dynamic: only dynamic templates can be sent."),
    ],
    ids=["unknown", "no active version", "legacy"],
)
async def test_a_template_that_cannot_be_sent(desk: Desk, make: dict[str, Any], message: str) -> None:
    """Each reason has its own sentence."""
    await desk.send()
    assert len(await desk.claimed()) == 1
    if make:
        await desk.template(**make)
    assert await refused(desk, handed(template_id=TEMPLATE)) == [("template_id", message)]


async def test_the_version_active_at_acceptance_is_kept(desk: Desk) -> None:
    """For the case that none is active at the hand-off; a template made this second is known."""
    await desk.send()
    await desk.template()
    accepted = await desk.send(handed(template_id=TEMPLATE))
    stored = _submission((await desk.detail(accepted)).row.submission)
    active = (await desk.store.templates.template(desk.tenant.id, TEMPLATE)).active
    assert active is not None
    assert stored.template_version == active.id


@pytest.mark.parametrize("batch_id", ["", "bat_", "nonsense", ids.public_id("bat_", 7), ids.public_id("msg_", 7)])
async def test_an_unknown_batch_is_refused(desk: Desk, batch_id: str) -> None:
    """Malformed or not ours: the same words."""
    ((field, message),) = await refused(desk, handed(batch_id=batch_id))
    assert field == "batch_id"
    assert message.startswith("The batch_id is not one of yours")


async def test_a_cancelled_batch_takes_nothing_more(desk: Desk) -> None:
    """With a second fault in the call, and without."""
    batch = await desk.batch()
    await desk.store.messages.cancel_batch(batch, desk.tenant.id, LIVE, desk.now)
    public = ids.public_id("bat_", batch)
    told = await refused(desk, handed(batch_id=public, template_id=TEMPLATE))
    assert ("batch_id", "The batch is cancelled: it takes no more messages.") in told
    assert [field for field, _ in await refused(desk, handed(batch_id=public))] == ["batch_id"]


async def test_the_lanes(desk: Desk) -> None:
    """Now: 0. Later: 1. A batch or a large call: 2, whenever it is due."""
    soon = desk.now + HOUR

    async def lane(*people: Personalization, **more: Any) -> set[int]:
        await desk.send(handed(*people, **more))
        return {c.lane for c in await desk.claimed()}

    assert await lane() == {0}
    assert await lane(person(send_at_ms=soon)) == {1}
    assert await lane(*[person()] * BULK_FROM) == {0}
    assert await lane(*[person()] * (BULK_FROM + 1)) == {2}
    assert await lane(batch_id=ids.public_id("bat_", await desk.batch())) == {2}
    assert await lane(person(), person(send_at_ms=soon)) == {0, 1}


async def test_a_moment_in_the_past_is_now_and_the_week_is_that_of_the_later(desk: Desk) -> None:
    """Due and week per message."""
    later = desk.now + 8 * 24 * HOUR
    accepted = await desk.send(handed(person(send_at_ms=desk.now - HOUR), person(send_at_ms=later)))
    assert [(await desk.detail(accepted, n)).row.due_at for n in (0, 1)] == [desk.now, later]
    assert [week for week, _ in accepted.ids] == [ids.week_of(desk.now), ids.week_of(later)]
    assert accepted.ids[0][0] != accepted.ids[1][0]


@pytest.mark.parametrize(("policy", "number"), [(None, 0), ("resend", 1), ("hold", 2), ("assume_sent", 3)])
async def test_the_sends_own_policy_goes_with_it(desk: Desk, policy: Any, number: int) -> None:
    """None: the tenant's."""
    await desk.send(handed(uncertain=policy))
    (claim,) = await desk.claimed()
    assert claim.policy == number


async def test_a_test_key_and_the_sandbox_queue_nothing(desk: Desk) -> None:
    """Stored as sandbox at once, from any domain, in the key's own half."""
    accepted = await desk.send(handed(from_=Mailbox("x@other.example")), desk.who(mode="test"))
    assert (await desk.detail(accepted, mode=TEST)).row.state is State.sandbox
    accepted = await desk.send(handed(sandbox=True, from_=Mailbox("x@other.example")))
    assert (await desk.detail(accepted)).row.state is State.sandbox
    assert await desk.is_empty()


async def test_files_are_stored_before_the_call_that_needs_them(desk: Desk) -> None:
    """Under their hash, found by the engine."""
    sha = "ab" * 32
    await desk.send(handed(attachments=(Attachment(sha, 3, "a.txt"),), files={sha: b"abc"}))
    assert await desk.store.ledger.blob(desk.tenant.id, sha) == b"abc"


async def test_addresses_are_stored_in_the_form_they_are_compared_in(desk: Desk) -> None:
    """And are sent as they were given (that is in the personalization)."""
    await desk.send(handed(person("Ada@Example.NET")))
    (claim,) = await desk.claimed()
    assert claim.recipients[0].address == "ada@example.net"
    assert b"Ada@Example.NET" in claim.personal


async def test_the_key_it_was_sent_with_is_kept(desk: Desk) -> None:
    """Its caps count at the hand-off, whichever dialect it came by."""
    accepted = await desk.send()
    assert _submission((await desk.detail(accepted)).row.submission).api_key == desk.who().key.id


async def test_a_test_keys_mail_is_simulated_where_the_call_asks_for_it(desk: Desk) -> None:
    """It waits for its run like any other, from whatever domain; else it is sandbox at once."""
    call = Handed(
        submission=Submission(from_=Mailbox("hello@elsewhere.com"), subject="s"), personalizations=(person(),),
        dialect="sendara", simulate=True,
    )  # fmt: skip
    accepted = await desk.send(call, desk.who(mode="test"))
    assert (await desk.detail(accepted, mode=TEST)).row.state is State.queued
    with pytest.raises(Forbidden):
        await desk.send(call)
