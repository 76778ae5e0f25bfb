"""Template records: a named container and its versions, of which one is active.

An id tells what a template is written in: ``d-`` Handlebars (a legacy one is never rendered), ``tmpl_`` plain variables.
"""

from typing import Final, Literal

import msgspec

VersionedGeneration = Literal["dynamic", "legacy"]
"""Those whose versions are written and chosen one by one, as /v3 has them."""
Generation = Literal[VersionedGeneration, "simple"]
Editor = Literal["code", "design"]
Scalar = str | int | float | bool

SIMPLE: Final = "tmpl_"
"""How the ids of simple templates begin; no other id does."""


class Variable(msgspec.Struct, frozen=True, omit_defaults=True):
    """A variable of a simple template. ``default`` stands in for a value that is not given; ``sample`` is for those who look at it."""

    name: str
    sample: Scalar | None = None
    default: Scalar | None = None
    required: bool = False
    """Without a value and a default the template is not rendered."""


class TemplateVersion(msgspec.Struct, frozen=True, kw_only=True):
    """Subject, HTML and text of one version. Times are UTC milliseconds."""

    id: int
    template: str
    name: str
    subject: str = ""
    preheader: str = ""
    html: str = ""
    plain: str = ""
    plain_given: bool = False
    """False: the plain text was made from the HTML."""
    editor: Editor = "code"
    active: bool = False
    created_at: int = 0
    updated_at: int = 0
    number: int = 0
    """1, 2, … in a simple template, given by the store; 0 in all others."""
    variables: tuple[Variable, ...] = ()
    document: str = ""
    """What an editor keeps with the version: JSON, never rendered. Empty: nothing."""

    @property
    def simple(self) -> bool:
        """Whether it is written with plain variables, and not in Handlebars."""
        return self.template.startswith(SIMPLE)


class Template(msgspec.Struct, frozen=True, kw_only=True):
    """A template with its versions, oldest first; a simple one with its newest version alone."""

    id: str
    name: str
    generation: Generation
    created_at: int
    updated_at: int
    versions: tuple[TemplateVersion, ...] = ()

    @property
    def active(self) -> TemplateVersion | None:
        """The version that sends use; None when none is active."""
        return next((v for v in self.versions if v.active), None)
