"""/v1/templates over HTTP: what is kept, what makes a version, what is rendered, what is refused."""

from collections.abc import AsyncIterator, Sequence
from pathlib import Path
from typing import Any

import pytest

from postclock.api.endpoint import Endpoint
from postclock.api.sendara.templates import simple_template_endpoints
from postclock.core.account import SENDARA_SCOPES
from postclock.core.ids import IdSource
from postclock.service.simple_templates import MAX_DEFAULT, MAX_VARIABLE, MAX_VARIABLES, SimpleTemplates
from postclock.service.template_text import MAX_BODY, MAX_NAME, MAX_SUBJECT
from postclock.store.sqlite.store import SqliteStore
from tests.support.clock import MovedClock
from tests.support.slow_api import SlowApi, slow_api

Json = dict[str, Any]


def endpoints(store: SqliteStore, clock: MovedClock) -> Sequence[Endpoint]:
    return simple_template_endpoints(SimpleTemplates(store.templates, clock, IdSource(clock, 7), lambda: None))


@pytest.fixture
async def api(tmp_path: Path) -> AsyncIterator[SlowApi]:
    """The real app with /v1/templates over a fresh store."""
    async with slow_api(tmp_path, built=endpoints) as running:
        yield running


async def ask(api: SlowApi, method: str, path: str, body: Any = None, *, code: int = 200, **who: Any) -> Json:
    """The answer's JSON, which has to have this status."""
    sent = {} if body is None else {"json": body}
    answer = await api.client.request(method, f"/v1/templates{path}", headers=await api.headers(**who), **sent)
    assert answer.status_code == code, answer.text
    told: Json = answer.json() if answer.content else {}
    return told


async def made(api: SlowApi, **fields: Any) -> Json:
    return await ask(api, "POST", "", {"name": "welcome", "channel": "email", **fields}, code=201)


async def refused(api: SlowApi, method: str, path: str, body: Any, *names: str) -> None:
    """400 ``invalid_request`` whose sentence names each of these fields."""
    error = (await ask(api, method, path, body, code=400))["error"]
    assert (error["code"], error["status"]) == ("invalid_request", 400)
    for name in names:
        assert f"{name}: " in error["message"], error["message"]


async def test_a_new_template_is_version_one_and_active(api: SlowApi) -> None:
    """POST answers 201 with all of it, and GET answers the same."""
    template = await made(
        api,
        subject="Hi {{ name }}",
        body_html="<p>Hi {{ name }}</p>",
        body_text="Hi {{ name }}",
        variables=[{"name": "name", "sample": "Ada", "default": "you", "required": True}, {"name": "n", "default": 0}],
    )
    assert template["id"].startswith("tmpl_")
    assert template == {
        "id": template["id"],
        "name": "welcome",
        "channel": "email",
        "subject": "Hi {{ name }}",
        "body_text": "Hi {{ name }}",
        "body_html": "<p>Hi {{ name }}</p>",
        "body_json": None,
        "variables": [
            {"name": "name", "required": True, "sample": "Ada", "default": "you"},
            {"name": "n", "required": False, "default": 0},
        ],
        "version": 1,
        "is_active": True,
        "created_at": "2027-01-15T08:00:00Z",
        "updated_at": "2027-01-15T08:00:00Z",
    }
    assert await ask(api, "GET", f"/{template['id']}") == template


async def test_a_tenant_has_a_bounded_number(api: SlowApi, monkeypatch: pytest.MonkeyPatch) -> None:
    """422 beyond it; a deleted one counts no more, nor does a neighbour's."""
    monkeypatch.setattr("postclock.service.simple_templates.MAX_TEMPLATES", 2)
    await made(api)
    second = await made(api)
    error = (await ask(api, "POST", "", {"name": "x", "channel": "email"}, code=422))["error"]
    assert error["code"] == "unprocessable"
    other = await api.tenants.create("neighbour")
    await ask(api, "POST", "", {"name": "x", "channel": "email"}, code=201, tenant=other)
    await ask(api, "DELETE", f"/{second['id']}", code=204)
    await made(api)


async def test_an_editors_document_comes_back_as_it_went_in(api: SlowApi) -> None:
    """It is never rendered, whatever it holds; keys keep their order."""
    document = {"z": "{{ name }}", "a": [1.0, 2, None, True, {"é": ""}]}
    template = await made(api, body_json=document)
    read = await ask(api, "GET", f"/{template['id']}")
    assert read["body_json"] == document
    assert list(read["body_json"]) == ["z", "a"]


async def test_a_changed_text_is_the_next_version(api: SlowApi) -> None:
    """What is not given stays; the same text again is no change."""
    ident = (await made(api, subject="one", body_text="text"))["id"]
    api.clock.move(5)
    changed = await ask(api, "PUT", f"/{ident}", {"subject": "two", "body_html": None})
    assert (changed["version"], changed["subject"], changed["body_text"]) == (2, "two", "text")
    assert (changed["created_at"], changed["updated_at"]) == ("2027-01-15T08:00:00Z", "2027-01-15T08:00:05Z")
    assert (await ask(api, "PUT", f"/{ident}", {"subject": "two"}))["version"] == 2
    assert (await ask(api, "PUT", f"/{ident}", {"variables": [{"name": "x"}]}))["version"] == 3
    assert (await ask(api, "PUT", f"/{ident}", {"body_json": {}}))["version"] == 4
    assert (await ask(api, "PUT", f"/{ident}", {"variables": []}))["variables"] == []


async def test_a_name_or_a_pause_makes_no_version(api: SlowApi) -> None:
    """A text that changes meanwhile does not end the pause."""
    ident = (await made(api, subject="one"))["id"]
    assert (await ask(api, "PUT", f"/{ident}", {"name": "other"}))["version"] == 1
    paused = await ask(api, "PUT", f"/{ident}", {"is_active": False})
    assert (paused["version"], paused["is_active"], paused["name"]) == (1, False, "other")
    changed = await ask(api, "PUT", f"/{ident}", {"subject": "two"})
    assert (changed["version"], changed["is_active"]) == (2, False)
    assert (await ask(api, "PUT", f"/{ident}", {"is_active": True}))["is_active"]
    both = await ask(api, "PUT", f"/{ident}", {"subject": "three", "is_active": False})
    assert (both["version"], both["is_active"]) == (3, False)


async def test_the_list_is_newest_first(api: SlowApi) -> None:
    """Names may be used again; another tenant's templates are not in it."""
    assert await ask(api, "GET", "") == {"templates": []}
    first = await made(api)
    api.clock.move(1)
    second = await made(api)
    assert (await ask(api, "GET", ""))["templates"] == [second, first]
    neighbour = await api.tenants.create("neighbour")
    assert await ask(api, "GET", "", tenant=neighbour) == {"templates": []}


async def test_a_deleted_template_is_gone(api: SlowApi) -> None:
    """204, and from then on it is not found."""
    ident = (await made(api))["id"]
    await ask(api, "DELETE", f"/{ident}", code=204)
    assert await ask(api, "GET", "") == {"templates": []}
    for method, path, body in (("GET", "", None), ("PUT", "", {}), ("DELETE", "", None), ("POST", "/render", {})):
        told = await ask(api, method, f"/{ident}{path}", body, code=404)
        assert told["error"]["code"] == "not_found"


async def test_unknown_and_foreign_templates_look_alike(api: SlowApi) -> None:
    """Nothing tells that another tenant has one; a template of /v3 is none of these."""
    ident = (await made(api))["id"]
    neighbour = await api.tenants.create("neighbour")
    dynamic = await api.client.post("/v3/templates", headers=await api.headers(), json={"name": "dynamic"})
    told = set()
    for name, who in (
        (ident, {"tenant": neighbour}),
        ("tmpl_0000000000000", {}),
        ("tmpl_%00", {}),
        (dynamic.json()["id"], {}),
    ):
        for method, path, body in (("GET", "", None), ("PUT", "", {"name": "x"}), ("DELETE", "", None)):
            told.add((await ask(api, method, f"/{name}{path}", body, code=404, **who))["error"]["message"])
    assert told == {"Template not found"}
    assert (await ask(api, "GET", f"/{ident}"))["name"] == "welcome"


async def test_v3_does_not_show_them(api: SlowApi) -> None:
    """Neither in its list nor by id, nor can it write a version."""
    ident = (await made(api))["id"]
    headers = await api.headers()
    assert (await api.client.get("/v3/templates", headers=headers)).json() == {"result": []}
    for method, path in (
        ("GET", ""),
        ("DELETE", ""),
        ("PATCH", ""),
        ("POST", ""),
        ("GET", "/versions"),
        ("POST", "/versions"),
    ):
        body = {"name": "x"} if method in ("PATCH", "POST") else None
        answer = await api.client.request(method, f"/v3/templates/{ident}{path}", headers=headers, json=body)
        assert answer.status_code == 404, (method, path, answer.text)
    made_as = await api.client.post("/v3/templates", headers=headers, json={"name": "x", "generation": "simple"})
    assert made_as.status_code == 400


async def test_rendering_shows_the_mail(api: SlowApi) -> None:
    """Values are escaped in the HTML alone; defaults stand in; what is not declared and not given is empty."""
    ident = (
        await made(
            api,
            subject="Order {{no}}",
            body_html="<p>{{ name }} {{ unknown }}{{#if x}}</p>",
            body_text="{{name}} {{ no }}",
            variables=[{"name": "name", "default": "you"}],
        )
    )["id"]
    assert await ask(api, "POST", f"/{ident}/render", {"vars": {"name": "<b>&", "no": 7}}) == {
        "subject": "Order 7",
        "body_html": "<p>&lt;b&gt;&amp; {{#if x}}</p>",
        "body_text": "<b>& 7",
    }
    expected = {"subject": "Order", "body_html": "<p>you {{#if x}}</p>", "body_text": "you "}
    bodies: list[Json] = [{}, {"vars": {}}, {"vars": []}, {"vars": None}]
    for body in bodies:
        assert await ask(api, "POST", f"/{ident}/render", body) == expected
    assert await ask(api, "POST", f"/{ident}/render") == expected


async def test_a_missing_required_variable_is_422_and_named(api: SlowApi) -> None:
    """``missing_variable`` is its code."""
    ident = (await made(api, variables=[{"name": "order_no", "required": True}]))["id"]
    error = (await ask(api, "POST", f"/{ident}/render", {"vars": {"order": 1}}, code=422))["error"]
    assert (error["code"], error["status"]) == ("missing_variable", 422)
    assert "order_no" in error["message"]
    await ask(api, "POST", f"/{ident}/render", {"vars": {"order_no": ""}})


async def test_what_grows_beyond_all_bounds_is_refused(api: SlowApi) -> None:
    """A long value many times over is 413, and costs nobody anything."""
    ident = (await made(api, body_text="{{x}}" * 2_000))["id"]
    told = await ask(api, "POST", f"/{ident}/render", {"vars": {"x": "x" * 10_000}}, code=413)
    assert told["error"]["code"] == "payload_too_large"


@pytest.mark.parametrize(
    ("fields", "names"),
    [
        ({"name": None}, ["name"]),
        ({"name": ""}, ["name"]),
        ({"name": " "}, ["name"]),
        ({"name": "x" * (MAX_NAME + 1)}, ["name"]),
        ({"channel": None}, ["channel"]),
        ({"channel": "sms"}, ["channel"]),
        ({"subject": 7}, ["subject"]),
        ({"subject": "x" * (MAX_SUBJECT + 1)}, ["subject"]),
        ({"body_html": "é" * (MAX_BODY // 2 + 1)}, ["body_html"]),
        ({"body_text": "x" * (MAX_BODY + 1)}, ["body_text"]),
        ({"body_json": "x" * MAX_BODY}, ["body_json"]),
        ({"variables": {}}, ["variables"]),
        ({"variables": [{}]}, ["variables.0.name"]),
        ({"variables": [{"name": "first-name"}, {"name": ""}]}, ["variables.0.name", "variables.1.name"]),
        ({"variables": [{"name": "x"}, {"name": "x"}]}, ["variables.1.name"]),
        ({"variables": [{"name": "x" * (MAX_VARIABLE + 1)}]}, ["variables.0.name"]),
        ({"variables": [{"name": "x", "default": "x" * (MAX_DEFAULT + 1)}]}, ["variables.0.default"]),
        ({"variables": [{"name": "x", "sample": {}}]}, ["variables.0.sample"]),
        ({"variables": [{"name": f"x{n}"} for n in range(MAX_VARIABLES + 1)]}, ["variables"]),
        ({"subject": 7, "channel": "fax"}, ["subject", "channel"]),
    ],
)
async def test_what_does_not_fit_is_named(api: SlowApi, fields: Json, names: list[str]) -> None:
    """Every bad field, at once, when a template is made and (but for the channel) when it is changed."""
    body: Json = {"name": "welcome", "channel": "email", **fields}
    await refused(api, "POST", "", {k: v for k, v in body.items() if v is not None}, *names)
    if "channel" not in fields and fields != {"name": None}:
        ident = (await made(api))["id"]
        await refused(api, "PUT", f"/{ident}", fields, *names)
        assert (await ask(api, "GET", f"/{ident}"))["version"] == 1


async def test_a_read_key_reads_and_renders(api: SlowApi) -> None:
    """Writing takes an admin key; a send key does neither."""
    ident = (await made(api))["id"]
    read, send = (SENDARA_SCOPES[word] for word in ("read", "send"))
    await ask(api, "GET", f"/{ident}", scopes=read)
    await ask(api, "POST", f"/{ident}/render", {}, scopes=read)
    for method, path, body in (("PUT", f"/{ident}", {}), ("DELETE", f"/{ident}", None), ("POST", "", {})):
        assert (await ask(api, method, path, body, code=403, scopes=read))["error"]["code"] == "forbidden"
    await ask(api, "GET", "", code=403, scopes=send)
