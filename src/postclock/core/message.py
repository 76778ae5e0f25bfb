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
