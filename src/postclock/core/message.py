"""A message from the caller's hand to the composer: what a submission says, and what each personalization adds.

These are the stored shapes as well: the store keeps them as MessagePack, so a new field needs a default. They hold no cycles,
so the garbage collector need not look at them (a call may make tens of thousands).
"""

from typing import Any, Literal

import msgspec

from postclock.core.address import Mailbox

RecipientKind = Literal["to", "cc", "bcc"]
UncertainPolicy = Literal["resend", "hold", "assume_sent"]
Mode = Literal["live", "test"]
MessageType = Literal["transactional", "marketing"]


class Content(msgspec.Struct, frozen=True, array_like=True, gc=False):
    """One body: ``type`` is a MIME type such as ``text/plain``."""

    type: str
    value: str


class Attachment(msgspec.Struct, frozen=True, array_like=True, gc=False):
    """A file that goes with the mail; its bytes lie in the store's blobs under the SHA-256 (hex)."""

    sha256: str
    size: int
    filename: str
    type: str = "application/octet-stream"
    disposition: Literal["attachment", "inline"] = "attachment"
    content_id: str = ""


class Footer(msgspec.Struct, frozen=True, array_like=True, gc=False):
    """What ``mail_settings.footer`` appends to each body."""

    text: str = ""
    html: str = ""


class Submission(msgspec.Struct, frozen=True, kw_only=True, omit_defaults=True, gc=False):
    """What the messages of one accepted call share."""

    from_: Mailbox
    reply_to: tuple[Mailbox, ...] = ()
    subject: str = ""
    contents: tuple[Content, ...] = ()
    attachments: tuple[Attachment, ...] = ()
    headers: dict[str, str] = {}
    categories: tuple[str, ...] = ()
    custom_args: dict[str, str] = {}
    template_id: str | None = None
    template_version: int | None = None
    """The version active at acceptance: what is used when none is active at hand-off."""
    template_pinned: bool = False
    """Whether the send pinned that version (then hand-off does not look for a newer one)."""
    footer: Footer | None = None
    uncertain: UncertainPolicy | None = None
    """This send's own policy; None takes the tenant's."""
    bypass: tuple[str, ...] = ()
    api_key: int = 0
    """The id of the key it was sent with: its caps count at hand-off."""
    message_type: MessageType = "transactional"
    """Usage is counted by it; marketing stands behind single sends."""
    open_tracking: bool | None = None
    """Whether opens are told of; None takes the tenant's setting at hand-off."""
    open_tag: str = ""
    """What in the HTML is replaced by the pixel; empty: it goes before ``</body>``."""
    click_tracking: bool | None = None
    """Whether links in the HTML lead by way of us; None takes the tenant's setting at hand-off."""
    click_text: bool | None = None
    """Whether links in the plain text do as well; None takes the tenant's setting."""
    idempotency_key: str = ""
    """The key under which a /v1 call can be looked up, also one that we made; empty on /v3."""
    metadata: dict[str, Any] = {}
    """What a /v1 call wants to have kept with its message: a JSON object, given back as it came."""
    test_send: bool = False
    """Meant for a verified test recipient."""
    redact: bool = False
    """What it was made from is forgotten as soon as the mail is sent."""
    free: bool = False
    """Our own mail in the tenant's name, such as a confirmation that somebody wants test mail: it costs nothing."""


def redacted(submission: Submission) -> Submission:
    """What stays of a submission whose sender wants its content forgotten: from whom, how it was asked for, and what its sender
    knows it by (metadata, custom_args), which webhooks still tell of; no content.
    """
    return msgspec.structs.replace(submission, subject="", contents=(), attachments=(), headers={}, footer=None)


class Recipient(msgspec.Struct, frozen=True, array_like=True, gc=False):
    """One recipient of one message."""

    kind: RecipientKind
    email: str
    name: str = ""


class Personalization(msgspec.Struct, frozen=True, kw_only=True, omit_defaults=True, gc=False):
    """What one message adds to its submission. ``headers`` and the maps here win over the submission's, key by key."""

    recipients: tuple[Recipient, ...]
    from_: Mailbox | None = None
    subject: str | None = None
    headers: dict[str, str] = {}
    substitutions: dict[str, str] = {}
    template_data: dict[str, Any] = {}
    custom_args: dict[str, str] = {}
    send_at_ms: int | None = None
    """The moment asked for; None: no time was asked for, so now."""
