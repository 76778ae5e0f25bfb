"""What /v1 says and hears of templates (Sendara's documentation, templates)."""

from typing import Any, Final, Literal

import msgspec
from msgspec import UNSET, UnsetType

from postclock.core.template import Scalar, Template, Variable
from postclock.core.when import iso
from postclock.service.simple_templates import Rendered, SimpleText

Channel = Literal["email"]
"""The others that the documents name (sms, push, voice) cannot be sent here."""

_json: Final = msgspec.json.Encoder()


class NewTemplateVariable(msgspec.Struct):
    """A variable: ``default`` stands in for a value that is not given; ``required`` ones must have one of the two."""

    name: str
    sample: Scalar | None = None
    default: Scalar | None = None
    required: bool | None = None


class NewSimpleTemplate(msgspec.Struct, kw_only=True):
    """A template to be made. ``body_json`` is an editor's own: kept, given back and never rendered."""

    name: str
    channel: Channel
    subject: str | None = None
    body_html: str | None = None
    body_text: str | None = None
    body_json: Any = None
    variables: list[NewTemplateVariable] | None = None


class SimpleTemplateChange(msgspec.Struct, kw_only=True):
    """What is to change; what is left out, or null, stays. Not active: nothing new can be sent with it."""

    name: str | None = None
    subject: str | None = None
    body_html: str | None = None
    body_text: str | None = None
    body_json: Any = None
    variables: list[NewTemplateVariable] | None = None
    is_active: bool | None = None


class RenderCall(msgspec.Struct):
    """Values for the variables, by name. Numbers, booleans, objects and lists stand as JSON; null counts as not given."""

    vars: dict[str, Any] | None = None


class TemplateVariable(msgspec.Struct, kw_only=True):
    """A variable as it was written; without ``sample`` or ``default`` there is none."""

    name: str
    required: bool
    sample: Scalar | UnsetType = UNSET
    default: Scalar | UnsetType = UNSET


class SimpleTemplate(msgspec.Struct, kw_only=True):
    """A template with its newest text. ``version`` counts the texts it has had."""

    id: str
    name: str
    channel: Channel
    subject: str
    body_text: str
    body_html: str
    body_json: Any
    variables: list[TemplateVariable]
    version: int
    is_active: bool
    created_at: str
    updated_at: str


class SimpleTemplateList(msgspec.Struct):
    """All of a tenant's, newest first."""

    templates: list[SimpleTemplate]


class RenderedTemplate(msgspec.Struct, kw_only=True):
    """The texts as a mail would have them."""

    subject: str
    body_html: str
    body_text: str


def text_of(given: NewSimpleTemplate | SimpleTemplateChange) -> SimpleText:
    """What was heard, in the service's words."""
    variables = None
    if given.variables is not None:
        variables = tuple(
            Variable(name=v.name, sample=v.sample, default=v.default, required=bool(v.required))
            for v in given.variables
        )
    return SimpleText(
        name=given.name,
        subject=given.subject,
        html=given.body_html,
        plain=given.body_text,
        document=None if given.body_json is None else _json.encode(given.body_json).decode(),
        variables=variables,
        active=given.is_active if isinstance(given, SimpleTemplateChange) else None,
    )


def template_answer(template: Template) -> SimpleTemplate:
    """A template in /v1's words."""
    newest = template.versions[-1]
    return SimpleTemplate(
        id=template.id,
        name=template.name,
        channel="email",
        subject=newest.subject,
        body_text=newest.plain,
        body_html=newest.html,
        body_json=msgspec.Raw(newest.document.encode()) if newest.document else None,
        variables=[
            TemplateVariable(
                name=v.name,
                required=v.required,
                sample=UNSET if v.sample is None else v.sample,
                default=UNSET if v.default is None else v.default,
            )
            for v in newest.variables
        ],
        version=newest.number,
        is_active=newest.active,
        created_at=iso(template.created_at),
        updated_at=iso(template.updated_at),
    )


def rendered_answer(rendered: Rendered) -> RenderedTemplate:
    """Rendered texts in /v1's words."""
    return RenderedTemplate(subject=rendered.subject, body_html=rendered.html, body_text=rendered.plain)
