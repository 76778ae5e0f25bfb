"""Template records: a named container and its versions, of which one is active."""

from typing import Literal

import msgspec

Generation = Literal["dynamic", "legacy"]
Editor = Literal["code", "design"]


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


class Template(msgspec.Struct, frozen=True, kw_only=True):
    """A template with its versions, oldest first."""

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
