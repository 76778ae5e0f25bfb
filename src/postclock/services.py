"""The services over a store: what the API and the commands ask for, put together once.

Below the assembly and beside no courier: a command needs services without an engine.
"""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Final

from postclock.core.clock import Clock
from postclock.core.ids import SEQUENCE_BITS, IdSource
from postclock.core.sealing import WEBHOOK
from postclock.courier.resolver import DnsUnavailable, Resolver
from postclock.runtime.entropy import Entropy
from postclock.runtime.seal import Seal
from postclock.service.accounts import ApiKeys
from postclock.service.batches import Batches
from postclock.service.confirmation_token import ConfirmationTokens
from postclock.service.domains import Domains
from postclock.service.messages import Messages
from postclock.service.principal import Authenticator
from postclock.service.secret_key import DKIM as DKIM
from postclock.service.secret_key import KEY_FILE as KEY_FILE
from postclock.service.secret_key import Rotation as Rotation
from postclock.service.secret_key import check_key as check_key
from postclock.service.simple_templates import SimpleTemplates
from postclock.service.submit import Submit
from postclock.service.suppressions import Suppressions
from postclock.service.templates import Templates
from postclock.service.tenants import Tenants
from postclock.service.test_recipients import FreeRecipients
from postclock.service.usage import Usage
from postclock.service.validate import Validation
from postclock.service.webhooks import Webhooks
from postclock.stores import Opened

COMMAND_SEQUENCE: Final = (1 << SEQUENCE_BITS) - 64
"""Commands share a node: each begins its ids somewhere below this, with room for the few that it makes."""
CONFIRMATION: Final = "confirmation"
"""What the key of the tokens in confirmation mails is for."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Services:
    """What callers may ask for."""

    tenants: Tenants
    keys: ApiKeys
    domains: Domains
    templates: Templates
    simple_templates: SimpleTemplates
    suppressions: Suppressions
    messages: Messages
    batches: Batches
    submit: Submit
    usage: Usage
    test_recipients: FreeRecipients
    validation: Validation
    webhooks: Webhooks
    authenticator: Authenticator


def build_services(
    store: Opened,
    seal: Seal,
    clock: Clock,
    entropy: Entropy,
    *,
    has_room: Callable[[], None],
    on_point: Callable[[str], None],
    dns: str = "",
    hostname: str = "",
    return_domain: str = "",
    webhook_allow: Sequence[str] = (),
    public_url: str = "",
) -> Services:
    """The services over a store."""
    owner = store.ledger.owner
    ids = IdSource(clock, owner.node, 0 if owner.epoch else int(entropy.jitter() * COMMAND_SEQUENCE))
    authenticator = Authenticator(store.accounts, clock)
    validation = Validation(Resolver(dns), clock, DnsUnavailable)
    usage = Usage(store.metering, store.accounts, clock, authenticator.forget)
    submit = Submit(
        messages=store.messages,
        ledger=store.ledger,
        templates=store.templates,
        clock=clock,
        make_id=ids,
        has_room=has_room,
        on_point=on_point,
        suppressions=store.suppressions,
        look_at_recipient=validation.reason,
        is_test_recipient=usage.is_test_recipient,
        test_recipients_among=store.metering.verified,
        may_spend=usage.may_spend,
    )
    return Services(
        tenants=Tenants(store.accounts, clock, authenticator.forget),
        keys=ApiKeys(store.accounts, clock, ids, entropy, authenticator.forget),
        domains=Domains(
            store.domains,
            clock,
            ids,
            seal=lambda plain: seal.seal(DKIM, plain),
            unseal=lambda sealed: seal.open(DKIM, sealed),
            look_up=Resolver(dns).txt,
            sender=hostname,
            return_domain=return_domain,
        ),
        templates=Templates(store.templates, clock, ids, entropy),
        simple_templates=SimpleTemplates(store.templates, clock, ids, authenticator.forget),
        suppressions=Suppressions(store.suppressions, clock),
        messages=Messages(store.messages, clock),
        batches=Batches(store.messages, clock, ids),
        submit=submit,
        usage=usage,
        test_recipients=FreeRecipients(
            store.metering, submit, clock, ids, ConfirmationTokens(seal.sub_key(CONFIRMATION)), public_url
        ),
        validation=validation,
        webhooks=Webhooks(
            store.outbox,
            clock,
            ids,
            entropy,
            seal=lambda plain: seal.seal(WEBHOOK, plain),
            unseal=lambda sealed: seal.open(WEBHOOK, sealed),
            allowed=webhook_allow,
        ),
        authenticator=authenticator,
    )
