"""Tenants, API keys and scopes: who may ask for what."""

from enum import StrEnum
from typing import Final, Literal

import msgspec

from postclock.core.errors import Forbidden
from postclock.core.message import Mode, UncertainPolicy
from postclock.core.plan import Spending

Dialect = Literal["scaisend", "sendara"]


class Scope(StrEnum):
    """ScaiSend's seventeen scopes, and ``messages.read`` for the reading that its documents leave free."""

    mail_send = "mail.send"
    mail_schedule = "mail.schedule"
    mail_cancel = "mail.cancel"
    templates_read = "templates.read"
    templates_write = "templates.write"
    templates_delete = "templates.delete"
    suppressions_read = "suppressions.read"
    suppressions_write = "suppressions.write"
    stats_read = "stats.read"
    stats_export = "stats.export"
    webhooks_read = "webhooks.read"
    webhooks_write = "webhooks.write"
    domains_read = "domains.read"
    domains_write = "domains.write"
    admin_api_keys = "admin.api_keys"
    admin_users = "admin.users"
    admin_settings = "admin.settings"
    messages_read = "messages.read"


ALL_SCOPES: Final = frozenset(Scope)

SENDARA_SCOPES: Final[dict[str, frozenset[Scope]]] = {
    "send": frozenset({Scope.mail_send, Scope.mail_schedule, Scope.mail_cancel, Scope.suppressions_read, Scope.suppressions_write}),
    "read": frozenset(
        {
            Scope.messages_read, Scope.stats_read, Scope.templates_read, Scope.webhooks_read, Scope.domains_read, Scope.suppressions_read,
        }
    ),
    "admin": ALL_SCOPES,
}  # fmt: skip
"""What the one scope of a Sendara key stands for."""

PREFIXES: Final[dict[tuple[Dialect, Mode], str]] = {
    ("scaisend", "live"): "sg_live_",
    ("scaisend", "test"): "sg_test_",
    ("sendara", "live"): "sk_live_",
    ("sendara", "test"): "sk_test_",
}
SECRET_OCTETS: Final = 16  # 128 random bits: a fast hash is enough, nobody guesses these
SHOWN: Final = 16
"""How many characters of a key may be read again (the prefix and eight of the secret)."""


class TenantSettings(msgspec.Struct, frozen=True, kw_only=True, omit_defaults=True):
    """What an operator may set for a tenant. Stored as MessagePack: a new field needs a default."""

    uncertain: UncertainPolicy = "resend"
    rate_sends: int = 10_000
    """Calls of mail/send a second."""
    rate_requests: int = 1_000
    """Other requests a second and credential."""
    open_tracking: bool = False
    """Whether HTML gets a pixel; a send's own word wins, here and in the next two."""
    click_tracking: bool = False
    """Whether links in HTML lead by way of us."""
    click_text: bool = False
    """Whether links in plain text do as well, where those in HTML do."""
    default_from: str = ""
    spending: Spending = Spending()
    """Plan and caps, which have commands and calls of their own."""


class Tenant(msgspec.Struct, frozen=True, kw_only=True):
    """One customer of this installation. ``revision`` rises with anything a prepared mail is made from."""

    id: int
    name: str
    suspended: bool
    revision: int
    settings: TenantSettings
    created_at: int


class ApiKey(msgspec.Struct, frozen=True, kw_only=True):
    """A credential, without its secret. Times are UTC milliseconds."""

    id: int
    tenant: int
    prefix: str
    name: str
    dialect: Dialect
    environment: Mode
    scopes: frozenset[Scope]
    created_at: int
    last_used_at: int | None = None
    expires_at: int | None = None
    revoked_at: int | None = None


class Principal(msgspec.Struct, frozen=True, kw_only=True):
    """Who asks: a tenant's key, looked up and in force."""

    key: ApiKey
    tenant: Tenant

    @property
    def mode(self) -> Mode:
        """Which half of the tenant's rows this key sees and touches."""
        return self.key.environment

    def needs(self, *scopes: Scope) -> None:
        """Raises Forbidden, naming the scope, unless the key holds one of ``scopes``."""
        if not any(s in self.key.scopes for s in scopes):
            raise Forbidden(f"Missing required scope: {scopes[0]}")


def scopes_of_key(dialect: Dialect, asked: frozenset[Scope], *, read_messages: bool) -> frozenset[Scope]:
    """The scopes a new key gets: a ScaiSend key reads messages unless it is told not to."""
    if dialect == "scaisend" and read_messages:
        return asked | {Scope.messages_read}
    return asked
