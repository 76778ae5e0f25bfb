"""/v3/openapi.json: the document and the routes say the same."""

import re
from typing import Any

import msgspec
import pytest
from starlette.routing import Route

from postclock.api.endpoint import Call, Endpoint, Gate, Parameter, Reply, routes
from postclock.api.scaisend.openapi import PATH, document
from postclock.core.account import Scope
from tests.support.slow_api import SlowApi

Json = dict[str, Any]
OURS = ("/health", "/ready", "/metrics")


async def served(api: SlowApi) -> Json:
    answer = await api.client.get(PATH)
    assert answer.status_code == 200
    body: Json = answer.json()
    return body


async def test_every_route_is_in_the_document_and_the_other_way_round(api: SlowApi) -> None:
    """Path by path and method by method."""
    described = {(method.upper(), path) for path, methods in (await served(api))["paths"].items() for method in methods}
    routed = {
        (method, re.sub(r":\w+", "", route.path))
        for route in api.routes
        if isinstance(route, Route) and route.path not in OURS
        for method in (route.methods or set()) - {"HEAD"}
    }
    assert described == routed
    assert ("POST", "/v3/templates/{template_id}/versions/{version_id}/activate") in described


async def test_the_document_is_public_and_says_that_nothing_else_is(api: SlowApi) -> None:
    """It is read without a credential; every other operation asks for a key."""
    for path, methods in (await served(api))["paths"].items():
        for operation in methods.values():
            assert operation["security"] == ([] if path == PATH else [{"key": []}])


async def test_a_path_with_a_variable_may_lead_nowhere(api: SlowApi) -> None:
    """404 is among its answers, for what can be no name at all."""
    paths = (await served(api))["paths"]
    named = [operation for path, methods in paths.items() for operation in methods.values() if "{" in path]
    assert named
    assert all("404" in operation["responses"] for operation in named)
    gone = await api.client.get("/v3/asm/suppressions/global/a%0Ab", headers=await api.headers())
    assert gone.status_code == 404


async def test_every_reference_leads_somewhere(api: SlowApi) -> None:
    """Each $ref names a schema that is there, and each operation has a name of its own."""
    whole = await served(api)
    text = msgspec.json.encode(whole).decode()
    named = set(re.findall(r'"#/components/schemas/(\w+)"', text))
    assert named == set(whole["components"]["schemas"])
    names = [o["operationId"] for methods in whole["paths"].values() for o in methods.values()]
    assert len(names) == len(set(names))


async def test_an_operation_tells_what_it_takes_and_gives(api: SlowApi) -> None:
    """Body, answer, failures, parameters and the scope are all there."""
    whole = await served(api)
    create = whole["paths"]["/v3/templates"]["post"]
    ref = {"$ref": "#/components/schemas/NewTemplate"}
    assert create["requestBody"] == {"required": True, "content": {"application/json": {"schema": ref}}}
    assert create["responses"]["201"]["content"]["application/json"]["schema"] == {
        "$ref": "#/components/schemas/TemplateAnswer"
    }
    assert set(create["responses"]) == {"201", "400", "401", "403", "413", "429", "500", "503"}
    assert create["description"] == "Needs the scope templates.write."
    copy = whole["paths"]["/v3/templates/{template_id}"]["post"]
    assert copy["requestBody"]["required"] is False
    one = whole["paths"]["/v3/suppression/bounces/{email}"]["get"]
    assert [(p["name"], p["in"], p["required"]) for p in one["parameters"]] == [("email", "path", True)]
    several = whole["paths"]["/v3/suppression/bounces"]["get"]
    assert [p["name"] for p in several["parameters"]] == ["limit", "offset", "start_time", "end_time", "email"]


async def test_real_answers_fit_the_document(api: SlowApi) -> None:
    """What a template's creation answers has exactly the fields that the document promises."""
    whole = await served(api)
    answer = await api.client.post("/v3/templates", headers=await api.headers(), json={"name": "welcome"})
    promised = whole["components"]["schemas"]["TemplateAnswer"]
    assert set(answer.json()) == set(promised["properties"]) == set(promised["required"])


def test_the_mail_family_has_its_own_failures() -> None:
    """Operations under /v3/mail/ fail with errors, also those that are served elsewhere; several scopes are told as a choice."""
    endpoint = Endpoint(
        method="POST",
        path="/v3/mail/send",
        summary="Send",
        answer=None,
        scopes=(Scope.mail_send, Scope.mail_schedule),
        status=202,
        parameters=(Parameter("Idempotency-Key", str, "Once.", "header"),),
    )
    operation = document([endpoint])["paths"]["/v3/mail/send"]["post"]
    assert operation["responses"]["401"]["content"]["application/json"]["schema"]["$ref"].endswith("/MailErrors")
    assert operation["description"] == "Needs the scope mail.send or mail.schedule."
    assert operation["parameters"][0]["in"] == "header"


async def _nothing(_: Call) -> Reply:
    return Reply()


def test_an_operation_stands_once() -> None:
    """Two endpoints for one method and path are a mistake of ours, told at the start."""
    endpoint = Endpoint(method="GET", path="/v3/twice", summary="Twice", answer=_nothing)
    gate = Gate.__new__(Gate)
    with pytest.raises(ValueError, match="GET /v3/twice stands twice"):
        routes([endpoint, endpoint], gate)
    assert len(routes([endpoint], gate)) == 1
