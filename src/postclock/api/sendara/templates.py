"""/v1/templates: templates with ``{{ name }}`` in them (Sendara's documentation, templates)."""

from typing import Final

from postclock.api.endpoint import Call, Endpoint, Reply
from postclock.api.sendara.template_shapes import (
    NewSimpleTemplate,
    RenderCall,
    RenderedTemplate,
    SimpleTemplate,
    SimpleTemplateChange,
    SimpleTemplateList,
    rendered_answer,
    template_answer,
    text_of,
)
from postclock.core.account import Scope
from postclock.service.simple_templates import SimpleTemplates

BASE: Final = "/v1/templates"
ONE: Final = BASE + "/{template_id}"

READ: Final = (Scope.templates_read,)
WRITE: Final = (Scope.templates_write,)
DELETE: Final = (Scope.templates_delete,)


def simple_template_endpoints(templates: SimpleTemplates) -> tuple[Endpoint, ...]:
    """The endpoints of templates over one service."""

    async def listed(call: Call) -> Reply:
        return Reply(SimpleTemplateList([template_answer(t) for t in await templates.all(call.principal)]))

    async def create(call: Call) -> Reply:
        return Reply(template_answer(await templates.create(call.principal, text_of(call.body(NewSimpleTemplate)))))

    async def one(call: Call) -> Reply:
        return Reply(template_answer(await templates.get(call.principal, call.path("template_id"))))

    async def change(call: Call) -> Reply:
        text = text_of(call.body(SimpleTemplateChange))
        return Reply(template_answer(await templates.change(call.principal, call.path("template_id"), text)))

    async def delete(call: Call) -> Reply:
        await templates.delete(call.principal, call.path("template_id"))
        return Reply()

    async def render(call: Call) -> Reply:
        given = call.body(RenderCall).vars or {}
        return Reply(rendered_answer(await templates.render(call.principal, call.path("template_id"), given)))

    return (
        Endpoint(
            method="GET", path=BASE, summary="List templates, newest first", answer=listed, scopes=READ,
            gives=SimpleTemplateList,
        ),
        Endpoint(
            method="POST", path=BASE, summary="Make a template", answer=create, scopes=WRITE, takes=NewSimpleTemplate,
            gives=SimpleTemplate, status=201, refuses=(400, 422),
        ),
        Endpoint(
            method="GET", path=ONE, summary="Read a template", answer=one, scopes=READ, gives=SimpleTemplate,
            refuses=(404,),
        ),
        Endpoint(
            method="PUT", path=ONE, summary="Change a template; another text is a new version", answer=change,
            scopes=WRITE, takes=SimpleTemplateChange, gives=SimpleTemplate, refuses=(400, 404),
        ),
        Endpoint(
            method="DELETE", path=ONE, summary="Delete a template", answer=delete, scopes=DELETE, status=204,
            refuses=(404,),
        ),
        Endpoint(
            method="POST", path=ONE + "/render", summary="Render a template", answer=render, scopes=READ,
            takes=RenderCall, gives=RenderedTemplate, refuses=(400, 404, 422),
        ),
    )  # fmt: skip
