"""/v3/templates: templates and their versions (ScaiSend's documentation, templates; paths it leaves open are SendGrid's)."""

from typing import Final, Literal, cast

from postclock.api.endpoint import Call, Endpoint, Parameter, Reply
from postclock.api.scaisend.shapes import (
    CopyName,
    NewTemplate,
    NewVersion,
    Rename,
    TemplateAnswer,
    TemplateBrief,
    TemplateList,
    VersionAnswer,
    VersionBrief,
    VersionChange,
    VersionList,
)
from postclock.core.account import Scope
from postclock.core.template import Template, TemplateVersion, VersionedGeneration
from postclock.core.when import iso
from postclock.service.templates import Templates, VersionText, public_version_id

BASE: Final = "/v3/templates"
ONE: Final = BASE + "/{template_id}"
VERSIONS: Final = ONE + "/versions"
VERSION: Final = VERSIONS + "/{version_id}"
GENERATIONS: Final[tuple[VersionedGeneration, ...]] = ("dynamic", "legacy")

READ: Final = (Scope.templates_read,)
WRITE: Final = (Scope.templates_write,)
DELETE: Final = (Scope.templates_delete,)


def template_endpoints(templates: Templates) -> tuple[Endpoint, ...]:
    """The endpoints of templates and versions over one service."""
    return (*_containers(templates), *_versions(templates))


def _containers(templates: Templates) -> tuple[Endpoint, ...]:
    async def listed(call: Call) -> Reply:
        generations = cast("frozenset[VersionedGeneration] | None", call.query.words("generations", GENERATIONS))
        call.query.check()
        return Reply(TemplateList([_brief(t) for t in await templates.all(call.principal, generations)]))

    async def create(call: Call) -> Reply:
        new = call.body(NewTemplate)
        made = await templates.create(
            call.principal, name=new.name, generation=new.generation or "dynamic", ident=new.id
        )
        return Reply(_answer(made))

    async def one(call: Call) -> Reply:
        return Reply(_answer(await templates.get(call.principal, call.path("template_id"))))

    async def copy(call: Call) -> Reply:
        name = call.body(CopyName).name
        return Reply(_answer(await templates.duplicate(call.principal, call.path("template_id"), name)))

    async def rename(call: Call) -> Reply:
        return Reply(_answer(await templates.rename(call.principal, call.path("template_id"), call.body(Rename).name)))

    async def delete(call: Call) -> Reply:
        await templates.delete(call.principal, call.path("template_id"))
        return Reply()

    return (
        Endpoint(
            method="GET", path=BASE, summary="List templates, newest first", answer=listed, scopes=READ, gives=TemplateList,
            refuses=(400,), parameters=(Parameter("generations", str, "dynamic, legacy, or both with a comma; all without."),),
        ),
        Endpoint(
            method="POST", path=BASE, summary="Make a template", answer=create, scopes=WRITE, takes=NewTemplate,
            gives=TemplateAnswer, status=201, refuses=(400,),
        ),
        Endpoint(
            method="GET", path=ONE, summary="Read a template", answer=one, scopes=READ, gives=TemplateAnswer, refuses=(404,),
        ),
        Endpoint(
            method="POST", path=ONE, summary="Duplicate a template", answer=copy, scopes=WRITE, takes=CopyName,
            gives=TemplateAnswer, status=201, refuses=(400, 404),
        ),
        Endpoint(
            method="PATCH", path=ONE, summary="Rename a template", answer=rename, scopes=WRITE, takes=Rename,
            gives=TemplateAnswer, refuses=(400, 404),
        ),
        Endpoint(
            method="DELETE", path=ONE, summary="Delete a template with its versions", answer=delete, scopes=DELETE,
            status=204, refuses=(404,),
        ),
    )  # fmt: skip


def _versions(templates: Templates) -> tuple[Endpoint, ...]:
    def at(call: Call) -> tuple[str, str]:
        return call.path("template_id"), call.path("version_id")

    async def listed(call: Call) -> Reply:
        template = await templates.get(call.principal, call.path("template_id"))
        return Reply(VersionList([_version(v) for v in template.versions]))

    async def create(call: Call) -> Reply:
        text = _text(call.body(NewVersion))
        return Reply(_version(await templates.add_version(call.principal, call.path("template_id"), text)))

    async def one(call: Call) -> Reply:
        return Reply(_version(await templates.version(call.principal, *at(call))))

    async def change(call: Call) -> Reply:
        text = _text(call.body(VersionChange))
        return Reply(_version(await templates.change_version(call.principal, *at(call), text)))

    async def activate(call: Call) -> Reply:
        return Reply(_version(await templates.set_active(call.principal, *at(call), active=True)))

    async def deactivate(call: Call) -> Reply:
        return Reply(_version(await templates.set_active(call.principal, *at(call), active=False)))

    async def copy(call: Call) -> Reply:
        name = call.body(CopyName).name
        return Reply(_version(await templates.duplicate_version(call.principal, *at(call), name)))

    async def delete(call: Call) -> Reply:
        await templates.delete_version(call.principal, *at(call))
        return Reply()

    return (
        Endpoint(
            method="GET", path=VERSIONS, summary="List a template's versions", answer=listed, scopes=READ, gives=VersionList,
            refuses=(404,),
        ),
        Endpoint(
            method="POST", path=VERSIONS, summary="Make a version", answer=create, scopes=WRITE, takes=NewVersion,
            gives=VersionAnswer, status=201, refuses=(400, 404),
        ),
        Endpoint(
            method="GET", path=VERSION, summary="Read a version", answer=one, scopes=READ, gives=VersionAnswer,
            refuses=(404,),
        ),
        Endpoint(
            method="PATCH", path=VERSION, summary="Change a version", answer=change, scopes=WRITE, takes=VersionChange,
            gives=VersionAnswer, refuses=(400, 404),
        ),
        Endpoint(
            method="DELETE", path=VERSION, summary="Delete a version that is not active", answer=delete, scopes=DELETE,
            status=204, refuses=(400, 404),
        ),
        Endpoint(
            method="POST", path=VERSION + "/activate", summary="Make a version the one that sends use", answer=activate,
            scopes=WRITE, gives=VersionAnswer, refuses=(404,),
        ),
        Endpoint(
            method="POST", path=VERSION + "/deactivate", summary="Leave the template without an active version",
            answer=deactivate, scopes=WRITE, gives=VersionAnswer, refuses=(404,),
        ),
        Endpoint(
            method="POST", path=VERSION + "/duplicate", summary="Duplicate a version", answer=copy, scopes=WRITE,
            takes=CopyName, gives=VersionAnswer, status=201, refuses=(400, 404),
        ),
    )  # fmt: skip


def _text(given: NewVersion | VersionChange) -> VersionText:
    return VersionText(
        name=given.name,
        subject=given.subject,
        preheader=given.preheader,
        html=given.html_content,
        plain=given.plain_content,
        editor=given.editor,
        active=None if given.active is None else given.active == 1,
    )


def _number(version: TemplateVersion) -> Literal[0, 1]:
    return 1 if version.active else 0


def _version(version: TemplateVersion) -> VersionAnswer:
    return VersionAnswer(
        id=public_version_id(version),
        template_id=version.template,
        name=version.name,
        subject=version.subject,
        active=_number(version),
        html_content=version.html,
        plain_content=version.plain,
        preheader=version.preheader,
        editor=version.editor,
        created_at=iso(version.created_at),
        updated_at=iso(version.updated_at),
    )


def _version_brief(version: TemplateVersion) -> VersionBrief:
    return VersionBrief(
        id=public_version_id(version),
        template_id=version.template,
        name=version.name,
        subject=version.subject,
        active=_number(version),
        editor=version.editor,
        created_at=iso(version.created_at),
        updated_at=iso(version.updated_at),
    )


def _answer(template: Template) -> TemplateAnswer:
    return TemplateAnswer(
        id=template.id,
        name=template.name,
        generation=cast("VersionedGeneration", template.generation),
        created_at=iso(template.created_at),
        updated_at=iso(template.updated_at),
        versions=[_version(v) for v in template.versions],
    )


def _brief(template: Template) -> TemplateBrief:
    return TemplateBrief(
        id=template.id,
        name=template.name,
        generation=cast("VersionedGeneration", template.generation),
        created_at=iso(template.created_at),
        updated_at=iso(template.updated_at),
        versions=[_version_brief(v) for v in template.versions],
    )
