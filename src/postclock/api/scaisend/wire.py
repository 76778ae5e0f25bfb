"""The shapes of ``POST /v3/mail/send`` as they stand in the JSON (ScaiSend's documentation, mail send; SendGrid's v3 API).

Only shapes: limits and rules are in the ``translate_`` files. Unknown fields are ignored, null is as good as absent. Fields that are
here but not supported yet are refused by name when they ask for something.
"""

from typing import Any, Literal

import msgspec


class Address(msgspec.Struct, gc=False):
    """An address with an optional display name."""

    email: str
    name: str | None = None


class Content(msgspec.Struct, gc=False):
    """One body: a MIME type and its text."""

    type: str
    value: str


class Attachment(msgspec.Struct, gc=False):
    """A file, in base64."""

    content: str
    filename: str
    type: str | None = None
    disposition: Literal["attachment", "inline"] | None = None
    content_id: str | None = None


class Personalization(msgspec.Struct, gc=False, rename={"from_": "from"}):
    """What makes one message: its recipients and what it adds to the call."""

    to: list[Address]
    cc: list[Address] | None = None
    bcc: list[Address] | None = None
    from_: Address | None = None
    subject: str | None = None
    headers: dict[str, str] | None = None
    substitutions: dict[str, str] | None = None
    dynamic_template_data: dict[str, Any] | None = None
    custom_args: dict[str, str] | None = None
    send_at: int | None = None


class Switch(msgspec.Struct, gc=False):
    """A setting that is on or off; what else it holds is not read."""

    enable: bool | None = None


class Footer(msgspec.Struct, gc=False):
    """What to append to each body."""

    enable: bool | None = None
    text: str | None = None
    html: str | None = None


class MailSettings(msgspec.Struct, gc=False):
    """``mail_settings``: sandbox and footer work, the others are refused while enabled."""

    sandbox_mode: Switch | None = None
    footer: Footer | None = None
    bypass_list_management: Switch | None = None
    bypass_bounce_management: Switch | None = None
    bypass_spam_management: Switch | None = None
    bypass_unsubscribe_management: Switch | None = None
    bcc: Switch | None = None
    spam_check: Switch | None = None


class ClickTracking(msgspec.Struct, gc=False):
    """Whether links lead by way of us, in HTML and in plain text; what is left out is as the tenant has it."""

    enable: bool | None = None
    enable_text: bool | None = None


class OpenTracking(msgspec.Struct, gc=False):
    """Whether opens are told of, and what in the HTML the pixel takes the place of."""

    enable: bool | None = None
    substitution_tag: str | None = None


class TrackingSettings(msgspec.Struct, gc=False):
    """``tracking_settings``: clicks and opens work, the others are refused while enabled."""

    click_tracking: ClickTracking | None = None
    open_tracking: OpenTracking | None = None
    subscription_tracking: Switch | None = None
    ganalytics: Switch | None = None


class Extension(msgspec.Struct, gc=False):
    """``postclock``: what neither ScaiSend nor SendGrid has. ``uncertain``: what to do when a relay's last answer was lost."""

    uncertain: Literal["resend", "hold", "assume_sent"] | None = None


class MailSend(msgspec.Struct, gc=False, rename={"from_": "from"}):
    """The body of ``POST /v3/mail/send``."""

    personalizations: list[Personalization]
    from_: Address
    reply_to: Address | None = None
    reply_to_list: list[Address] | None = None
    subject: str | None = None
    content: list[Content] | None = None
    template_id: str | None = None
    attachments: list[Attachment] | None = None
    headers: dict[str, str] | None = None
    categories: list[str] | None = None
    custom_args: dict[str, str] | None = None
    send_at: int | None = None
    batch_id: str | None = None
    asm: dict[str, Any] | None = None
    ip_pool_name: str | None = None
    sections: dict[str, Any] | None = None
    mail_settings: MailSettings | None = None
    tracking_settings: TrackingSettings | None = None
    postclock: Extension | None = None
