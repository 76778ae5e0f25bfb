"""Webhooks as their tenants manage them: endpoints of either dialect, and the one event webhook of SendGrid's model.

A key sees the webhooks of its tenant, mode and dialect; another's are not there. Secrets are sealed in the store. What is told, and when, is
the engine's matter.
"""

from collections.abc import Callable, Collection, Sequence
from dataclasses import dataclass, replace
from typing import Final

from postclock.core.account import Dialect, Principal
from postclock.core.clock import Clock
from postclock.core.errors import Invalid, NotFound
from postclock.core.ids import IdSource, parse_id, public_id
from postclock.core.webhook import PREVIOUS_SECRET_MS, TIMELINE, Secrets
from postclock.courier.post_targets import networks
from postclock.mail.webhook_signature import new_signing_key, public_key
from postclock.runtime.entropy import Entropy
from postclock.service.webhook_url import problem
from postclock.store.outbox import DeliveryRow, Outbox, Subscription
from postclock.store.records import mode_number

WEBHOOK: Final = "wh_"
DELIVERY: Final = "del_"
MAX_WEBHOOKS: Final = 50
"""Endpoints of a tenant in one mode and dialect: each of them multiplies what every event writes."""
SECRET_OCTETS: Final = 32
LAST_ID: Final = 2**63 - 1
NOTHING: Final = ("nothing",)
"""The types of an event webhook with every switch off: a name that no event has, for no names at all would mean every event."""
_SECRET_PREFIX: Final[dict[Dialect, str]] = {"scaisend": "whsec_", "sendara": ""}
_NO_WEBHOOK: Final = "Webhook not found"
_NO_DELIVERY: Final = "Delivery not found"

Unseal = Callable[[bytes], bytes]


@dataclass(frozen=True, slots=True, kw_only=True)
class WebhookMade:
    """An endpoint right after its secret was made: ``secrets`` holds it, and the one before while that still signs."""

    webhook: Subscription
    secrets: Secrets


class Webhooks:
    """``seal`` encrypts a secret for the store, ``unseal`` opens it; ``allowed`` are the private networks that may be reached."""

    def __init__(
        self,
        store: Outbox,
        clock: Clock,
        ids: IdSource,
        entropy: Entropy,
        *,
        seal: Callable[[bytes], bytes],
        unseal: Unseal,
        allowed: Sequence[str] = (),
    ) -> None:
        self._store = store
        self._clock = clock
        self._ids = ids
        self._entropy = entropy
        self._seal = seal
        self._unseal = unseal
        self._allowed = networks(allowed)

    async def add(
        self, who: Principal, dialect: Dialect, *, field: str, url: str, types: Collection[str]
    ) -> WebhookMade:
        """A new endpoint; ``field`` is what the dialect calls the URL. Raises Invalid, also when there are too many."""
        self._check(url, field)
        tenant, mode = _place(who)
        _, there = await self._store.page(tenant, mode, dialect, limit=1)
        if there >= MAX_WEBHOOKS:
            raise Invalid(f"There may be at most {MAX_WEBHOOKS} webhooks: remove one first.")
        secret = self._new_secret(dialect)
        now = self._clock.now_ms()
        made = Subscription(
            id=self._ids.next(),
            tenant=tenant,
            mode=mode,
            dialect=dialect,
            kind="endpoint",
            url=url,
            types=ordered(types),
            active=True,
            created_at=now,
            updated_at=now,
            secret=self._seal(secret.encode()),
        )
        return WebhookMade(webhook=await self._store.add(made), secrets=Secrets(secret=secret))

    async def get(self, who: Principal, dialect: Dialect, public: str) -> Subscription:
        """One endpoint. Raises NotFound."""
        try:
            return await self._store.get(*_place(who), dialect, _number(public))
        except NotFound:
            raise NotFound(_NO_WEBHOOK) from None

    async def page(
        self, who: Principal, dialect: Dialect, *, limit: int, offset: int = 0, active: bool | None = None
    ) -> tuple[list[Subscription], int]:
        """Endpoints, newest first, and how many there are in all."""
        return await self._store.page(*_place(who), dialect, limit=limit, offset=offset, active=active)

    async def change(
        self,
        who: Principal,
        dialect: Dialect,
        public: str,
        *,
        field: str,
        url: str | None = None,
        types: Collection[str] | None = None,
        active: bool | None = None,
    ) -> Subscription:
        """Change what is given; switched on, its failures are forgotten. Raises NotFound, Invalid."""
        there = await self.get(who, dialect, public)
        if url is not None:
            self._check(url, field)

        def changed(old: Subscription) -> Subscription:
            return replace(
                old,
                url=old.url if url is None else url,
                types=old.types if types is None else ordered(types),
                active=old.active if active is None else active,
            )

        return await self._store.change(there.tenant, there.mode, there.id, changed, self._clock.now_ms())

    async def remove(self, who: Principal, dialect: Dialect, public: str) -> None:
        """Its deliveries go with it. Raises NotFound."""
        try:
            await self._store.remove(*_place(who), dialect, _number(public))
        except NotFound:
            raise NotFound(_NO_WEBHOOK) from None

    async def rotate(self, who: Principal, dialect: Dialect, public: str, *, overlap: bool) -> WebhookMade:
        """A new secret. The old one is dead at once, or with ``overlap`` signs beside the new one for a day. Raises NotFound."""
        there = await self.get(who, dialect, public)
        secret, now = self._new_secret(dialect), self._clock.now_ms()
        sealed = self._seal(secret.encode())

        def changed(old: Subscription) -> Subscription:
            return replace(
                old,
                secret=sealed,
                previous_secret=old.secret if overlap else None,
                previous_until=now + PREVIOUS_SECRET_MS if overlap else None,
            )

        after = await self._store.change(there.tenant, there.mode, there.id, changed, now)
        return WebhookMade(webhook=after, secrets=self.secrets(after))

    def secrets(self, webhook: Subscription) -> Secrets:
        """What it signs with now."""
        return opened(webhook, self._unseal, self._clock.now_ms())

    # Deliveries

    async def deliveries(self, who: Principal, dialect: Dialect, public: str, *, limit: int) -> list[DeliveryRow]:
        """Newest first. Raises NotFound."""
        try:
            return await self._store.deliveries(*_place(who), dialect, _number(public), limit=limit)
        except NotFound:
            raise NotFound(_NO_WEBHOOK) from None

    async def replay(
        self, who: Principal, dialect: Dialect, public: str, *, first: str | None = None, last: str | None = None
    ) -> int:
        """Settled deliveries from ``first`` to ``last`` (public ids; None: no end on that side) go out again; how many.

        Raises NotFound.
        """
        webhook = _number(public)
        low, high = _delivery(first, 0), _delivery(last, LAST_ID)
        try:
            return await self._store.replay(
                *_place(who), dialect, webhook, first=low, last=high, now=self._clock.now_ms()
            )
        except NotFound:
            raise NotFound(_NO_WEBHOOK) from None

    async def replay_one(self, who: Principal, dialect: Dialect, public: str, delivery: str) -> None:
        """One delivery goes out again. Raises NotFound, also for one that is still on its way."""
        if not await self.replay(who, dialect, public, first=delivery, last=delivery):
            raise NotFound(f"{_NO_DELIVERY}, or it is still on its way")

    # The event webhook

    async def event_settings(self, who: Principal) -> Subscription | None:
        """The tenant's event webhook in the key's mode; None before it was first set."""
        return await self._store.event_settings(*_place(who))

    async def set_event_settings(
        self, who: Principal, *, url: str | None, types: Collection[str], active: bool | None
    ) -> Subscription:
        """Set it; what is None stays. ``types`` may be none: then nothing is told. Raises Invalid."""
        if url:
            self._check(url, "url")
        there = await self.event_settings(who)
        new_url = (there.url if there else "") if url is None else url
        wanted = (there.active if there else False) if active is None else active
        if wanted and not new_url:
            raise Invalid("Say where events are to be posted.", "url")
        wished = ordered(types) or NOTHING

        def changed(old: Subscription) -> Subscription:
            return replace(old, url=new_url, types=wished, active=wanted)

        return await self._put(who, there, changed)

    async def sign_event_settings(self, who: Principal, *, enabled: bool) -> str:
        """The public key to check with, made when it was not signed before; empty when it is no longer signed."""
        there = await self.event_settings(who)
        if enabled and there is not None and there.public_key:
            return there.public_key
        private = new_signing_key() if enabled else b""
        sealed, public = (self._seal(private), public_key(private)) if enabled else (None, "")
        after = await self._put(who, there, lambda old: replace(old, signing_key=sealed, public_key=public))
        return after.public_key

    async def _put(
        self, who: Principal, there: Subscription | None, change: Callable[[Subscription], Subscription]
    ) -> Subscription:
        now = self._clock.now_ms()
        if there is not None:
            return await self._store.change(there.tenant, there.mode, there.id, change, now)
        tenant, mode = _place(who)
        blank = Subscription(
            id=self._ids.next(), tenant=tenant, mode=mode, dialect="scaisend", kind="event_settings", url="", types=NOTHING,
            active=False, created_at=now, updated_at=now,
        )  # fmt: skip
        return await self._store.add(change(blank))

    def _check(self, url: str, field: str) -> None:
        told = problem(url, self._allowed)
        if told is not None:
            raise Invalid(told, field)

    def _new_secret(self, dialect: Dialect) -> str:
        return _SECRET_PREFIX[dialect] + self._entropy.secret_hex(SECRET_OCTETS)


def opened(webhook: Subscription, unseal: Unseal, now: int) -> Secrets:
    """What posts to a webhook are signed with at ``now`` (UTC milliseconds)."""
    secret, previous, key = webhook.secret, webhook.previous_secret, webhook.signing_key
    if webhook.previous_until is None or webhook.previous_until <= now:
        previous = None
    return Secrets(
        secret=None if secret is None else unseal(secret).decode(),
        previous=None if previous is None else unseal(previous).decode(),
        signing_key=None if key is None else unseal(key),
    )


def ordered(types: Collection[str]) -> tuple[str, ...]:
    """Types of the timeline, each once, in the timeline's order."""
    return tuple(kind for kind in TIMELINE if kind in types)


def public_webhook_id(webhook: int) -> str:
    """``wh_…``."""
    return public_id(WEBHOOK, webhook)


def public_delivery_id(delivery: int) -> str:
    """``del_…``."""
    return public_id(DELIVERY, delivery)


def _place(who: Principal) -> tuple[int, int]:
    return who.tenant.id, mode_number(who.mode)


def _number(public: str) -> int:
    try:
        return parse_id(WEBHOOK, public)
    except NotFound:
        raise NotFound(_NO_WEBHOOK) from None


def _delivery(public: str | None, default: int) -> int:
    if public is None:
        return default
    try:
        return parse_id(DELIVERY, public)
    except NotFound:
        raise NotFound(_NO_DELIVERY) from None
