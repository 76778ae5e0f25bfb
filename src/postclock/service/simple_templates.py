"""Templates with plain variables as a tenant of /v1 manages them: one text that changes, each change a new version.

A version that was sent with stays as it is: mail on its way may have been accepted with it. Both modes share the templates.
"""

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any, Final

import msgspec

from postclock.core.account import Principal
from postclock.core.clock import Clock
from postclock.core.errors import FieldError, Invalid, NotFound
from postclock.core.ids import IdSource, parse_id, public_id
from postclock.core.template import SIMPLE, Scalar, Template, TemplateVersion, Variable
from postclock.mail.simple_template import NAME, Values
from postclock.service.template_text import MAX_BODY, MAX_NAME, MAX_SUBJECT
from postclock.store import registers

MAX_TEMPLATES: Final = 1_000  # of one tenant: lists and whoever prepares its mail hold all of them in memory
MAX_VARIABLES: Final = 300  # of one template; a page of a mail has some twenty
MAX_VARIABLE: Final = 100  # characters of a variable's name
MAX_DEFAULT: Final = 10_000  # characters of a sample or a default: a paragraph, not a second body
_NO_TEMPLATE: Final = "Template not found"


class SimpleText(msgspec.Struct, frozen=True, kw_only=True):
    """What a caller says of a template; None leaves a field as it is (in a new one: empty, and active). ``document`` is JSON."""

    name: str | None = None
    subject: str | None = None
    html: str | None = None
    plain: str | None = None
    document: str | None = None
    variables: tuple[Variable, ...] | None = None
    active: bool | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class Rendered:
    """The texts of a template with values in the places of its variables."""

    subject: str
    html: str
    plain: str


class SimpleTemplates:
    """One tenant's templates with plain variables. Each comes with its newest version, which is active or none is.

    ``changed`` is called after every change of one (the authenticator's ``forget``): the next send here sees it.
    """

    def __init__(self, store: registers.Templates, clock: Clock, ids: IdSource, changed: Callable[[], None]) -> None:
        self._store = store
        self._clock = clock
        self._ids = ids
        self._changed = changed

    async def all(self, by: Principal) -> list[Template]:
        """Newest first."""
        return await self._store.templates(by.tenant.id, frozenset({"simple"}))

    async def get(self, by: Principal, ident: str) -> Template:
        """Raises NotFound, also for a template of another kind."""
        return await self._store.template(by.tenant.id, _simple(ident))

    async def create(self, by: Principal, text: SimpleText) -> Template:
        """A template with its version 1. Names need not differ. Raises Invalid, Unprocessable (too many)."""
        _check(text, name=text.name or "")
        now, ident = self._clock.now_ms(), public_id(SIMPLE, self._ids.next())
        first = _revised(self._blank(ident), text)
        template = Template(
            id=ident, name=text.name or "", generation="simple", created_at=now, updated_at=now, versions=(first,)
        )
        return await self._store.create_template(by.tenant.id, template, most=MAX_TEMPLATES)

    async def change(self, by: Principal, ident: str, text: SimpleText) -> Template:
        """Change what is given. Another text is a new version, active if the former was; a name is not. Raises NotFound, Invalid."""
        template = await self._store.template(by.tenant.id, _simple(ident))
        _check(text, name=template.name if text.name is None else text.name)
        blank = self._blank(ident)

        def revise(there: Template) -> Template:
            last = there.versions[-1]
            wanted = _revised(last, text)
            if _words(wanted) == _words(last):
                versions: tuple[TemplateVersion, ...] = (wanted,)
            else:
                fresh = _revised(msgspec.structs.replace(last, id=blank.id, created_at=blank.created_at), text)
                fresh = msgspec.structs.replace(fresh, updated_at=blank.updated_at)
                versions = (msgspec.structs.replace(last, active=False), fresh)
            name = there.name if text.name is None else text.name
            return msgspec.structs.replace(there, name=name, versions=versions)

        changed = await self._store.revise_template(by.tenant.id, ident, revise, blank.created_at)
        self._changed()
        return changed

    async def delete(self, by: Principal, ident: str) -> None:
        """Mail accepted before still goes out with the version it has; new sends are refused. Raises NotFound."""
        await self._store.delete_template(by.tenant.id, _simple(ident), self._clock.now_ms())
        self._changed()

    async def render(self, by: Principal, ident: str, given: Mapping[str, Any]) -> Rendered:
        """The newest text, active or not, as a mail would have it. Raises NotFound, MissingVariable, TooLarge."""
        version = (await self.get(by, ident)).versions[-1]
        values = Values(version.variables, given)
        return Rendered(
            subject=values.line(version.subject), html=values.html(version.html), plain=values.text(version.plain)
        )

    def _blank(self, ident: str) -> TemplateVersion:
        now = self._clock.now_ms()
        return TemplateVersion(
            id=self._ids.next(),
            template=ident,
            name="",
            plain_given=True,
            active=True,
            created_at=now,
            updated_at=now,
        )


def _simple(ident: str) -> str:
    try:
        parse_id(SIMPLE, ident)
    except NotFound:
        raise NotFound(_NO_TEMPLATE) from None
    return ident


def _revised(version: TemplateVersion, text: SimpleText) -> TemplateVersion:
    given = {
        field: value
        for field in ("subject", "html", "plain", "document", "variables", "active")
        if (value := getattr(text, field)) is not None
    }
    return msgspec.structs.replace(version, **given)


def _words(version: TemplateVersion) -> tuple[Any, ...]:
    """What makes a version another one."""
    return version.subject, version.html, version.plain, version.document, version.variables


def _check(text: SimpleText, *, name: str) -> None:
    """Raises Invalid with every field out of bounds."""
    errors = []
    if not 1 <= len(name.strip()) <= len(name) <= MAX_NAME:
        errors.append(FieldError(f"Must have 1 to {MAX_NAME} characters.", "name"))
    if text.subject is not None and len(text.subject) > MAX_SUBJECT:
        errors.append(FieldError(f"Must have at most {MAX_SUBJECT:,} characters.", "subject"))
    for field, body in (("body_html", text.html), ("body_text", text.plain), ("body_json", text.document)):
        if body is not None and (len(body) > MAX_BODY or len(body.encode()) > MAX_BODY):
            errors.append(FieldError(f"Must have at most {MAX_BODY:,} octets.", field))
    errors += _variable_errors(text.variables or ())
    if errors:
        raise Invalid(errors)


def _variable_errors(variables: tuple[Variable, ...]) -> list[FieldError]:
    if len(variables) > MAX_VARIABLES:
        return [FieldError(f"At most {MAX_VARIABLES} variables are taken.", "variables")]
    errors = []
    seen = set()
    for n, variable in enumerate(variables):
        at = f"variables.{n}"
        if len(variable.name) > MAX_VARIABLE or not NAME.fullmatch(variable.name):
            errors.append(FieldError(f"Must have 1 to {MAX_VARIABLE} letters, digits or underscores.", f"{at}.name"))
        elif variable.name in seen:
            errors.append(FieldError("The variable is there twice: each may stand once.", f"{at}.name"))
        seen.add(variable.name)
        errors += [
            FieldError(f"Must have at most {MAX_DEFAULT:,} characters.", f"{at}.{field}")
            for field, value in (("sample", variable.sample), ("default", variable.default))
            if _is_long(value)
        ]
    return errors


def _is_long(value: Scalar | None) -> bool:
    return isinstance(value, str) and len(value) > MAX_DEFAULT
