"""/v3/templates: what a tenant does with its templates, over HTTP."""

from typing import Any

import pytest

from postclock.service.template_text import MAX_BODY
from tests.support.slow_api import SlowApi

Json = dict[str, Any]


async def made(api: SlowApi, headers: dict[str, str], **fields: Any) -> Json:
    answer = await api.client.post("/v3/templates", headers=headers, json={"name": "welcome", **fields})
    assert answer.status_code == 201, answer.text
    body: Json = answer.json()
    return body


async def with_version(api: SlowApi, headers: dict[str, str], template: str, **fields: Any) -> Json:
    answer = await api.client.post(
        f"/v3/templates/{template}/versions", headers=headers, json={"name": "first", **fields}
    )
    assert answer.status_code == 201, answer.text
    body: Json = answer.json()
    return body


def bad_fields(answer: Any) -> dict[str, str]:
    assert answer.status_code == 400, answer.text
    return {".".join(map(str, entry["loc"])): entry["msg"] for entry in answer.json()["detail"]}


async def test_a_new_template_is_dynamic_and_empty(api: SlowApi) -> None:
    """POST answers 201 with an id that begins with d-, and GET answers the same."""
    headers = await api.headers()
    template = await made(api, headers)
    assert template["id"].startswith("d-")
    assert len(template["id"]) == 34
    assert template == {
        "id": template["id"],
        "name": "welcome",
        "generation": "dynamic",
        "created_at": "2027-01-15T08:00:00Z",
        "updated_at": "2027-01-15T08:00:00Z",
        "versions": [],
    }
    read = await api.client.get(f"/v3/templates/{template['id']}", headers=headers)
    assert (read.status_code, read.json()) == (200, template)


async def test_an_id_may_be_chosen_once(api: SlowApi) -> None:
    """A free id is taken as given; the second template with it is refused by the field id."""
    headers = await api.headers()
    assert (await made(api, headers, id="d-Welcome_1"))["id"] == "d-Welcome_1"
    answer = await api.client.post("/v3/templates", headers=headers, json={"name": "other", "id": "d-Welcome_1"})
    assert list(bad_fields(answer)) == ["id"]


@pytest.mark.parametrize("ident", ["welcome", "d-", "d-a/b", "d-" + "x" * 63, "d-ü"])
async def test_an_id_of_another_form_is_refused(api: SlowApi, ident: str) -> None:
    """A chosen id begins with d- and has a bounded, plain rest."""
    answer = await api.client.post("/v3/templates", headers=await api.headers(), json={"name": "welcome", "id": ident})
    assert list(bad_fields(answer)) == ["id"]


async def test_a_name_is_unique_in_its_tenant_alone(api: SlowApi) -> None:
    """The same name is refused for the tenant and free for another."""
    headers = await api.headers()
    await made(api, headers)
    answer = await api.client.post("/v3/templates", headers=headers, json={"name": "welcome"})
    assert list(bad_fields(answer)) == ["name"]
    other = await made(api, headers, id="d-other", name="other")
    renamed = await api.client.patch(f"/v3/templates/{other['id']}", headers=headers, json={"name": "welcome"})
    assert list(bad_fields(renamed)) == ["name"]
    neighbour = await api.tenants.create("neighbour")
    await made(api, await api.headers(tenant=neighbour))


async def test_a_template_of_another_tenant_is_not_there(api: SlowApi) -> None:
    """Reading, renaming, copying and deleting a foreign template all answer 404, and it stays as it was."""
    headers = await api.headers()
    template = await made(api, headers)
    version = await with_version(api, headers, template["id"])
    foreign = await api.headers(tenant=await api.tenants.create("neighbour"))
    path = f"/v3/templates/{template['id']}"
    for method, at in (
        ("GET", path),
        ("PATCH", path),
        ("POST", path),
        ("DELETE", path),
        ("GET", f"{path}/versions"),
        ("POST", f"{path}/versions"),
        ("GET", f"{path}/versions/{version['id']}"),
        ("PATCH", f"{path}/versions/{version['id']}"),
        ("DELETE", f"{path}/versions/{version['id']}"),
        ("POST", f"{path}/versions/{version['id']}/activate"),
    ):
        body = {"name": "mine"} if method in ("PATCH", "POST") else None
        answer = await api.client.request(method, at, headers=foreign, json=body)
        assert answer.status_code == 404, (method, at)
        assert isinstance(answer.json()["detail"], str)
    assert (await api.client.get(path, headers=headers)).json()["name"] == "welcome"


async def test_the_list_is_newest_first_and_filters_by_generation(api: SlowApi) -> None:
    """Without a filter all are listed; the bodies of versions are left out."""
    headers = await api.headers()
    first = await made(api, headers)
    await with_version(api, headers, first["id"], html_content="<p>Hello</p>", subject="Hi", active=1)
    api.clock.move(1)
    await made(api, headers, name="old style", generation="legacy")
    every = (await api.client.get("/v3/templates", headers=headers)).json()["result"]
    assert [t["name"] for t in every] == ["old style", "welcome"]
    assert every[1]["versions"][0]["active"] == 1
    assert "html_content" not in every[1]["versions"][0]
    dynamic = await api.client.get("/v3/templates?generations=dynamic", headers=headers)
    assert [t["name"] for t in dynamic.json()["result"]] == ["welcome"]
    both = await api.client.get("/v3/templates?generations=legacy,dynamic", headers=headers)
    assert len(both.json()["result"]) == 2
    bad = await api.client.get("/v3/templates?generations=modern", headers=headers)
    assert list(bad_fields(bad)) == ["generations"]


async def test_renaming_changes_the_name_alone(api: SlowApi) -> None:
    """PATCH answers the renamed template, with the time of the change."""
    headers = await api.headers()
    template = await made(api, headers)
    api.clock.move(60)
    answer = await api.client.patch(f"/v3/templates/{template['id']}", headers=headers, json={"name": "hello"})
    assert answer.json() == {**template, "name": "hello", "updated_at": "2027-01-15T08:01:00Z"}


async def test_a_deleted_template_is_gone_and_frees_its_name(api: SlowApi) -> None:
    """DELETE answers 204 without a body; after that it is 404 and its name can be used again."""
    headers = await api.headers()
    template = await made(api, headers)
    await with_version(api, headers, template["id"], active=1)
    deleted = await api.client.delete(f"/v3/templates/{template['id']}", headers=headers)
    assert (deleted.status_code, deleted.content) == (204, b"")
    assert (await api.client.get(f"/v3/templates/{template['id']}", headers=headers)).status_code == 404
    assert (await api.client.delete(f"/v3/templates/{template['id']}", headers=headers)).status_code == 404
    await made(api, headers)


async def test_a_version_is_read_as_it_was_written(api: SlowApi) -> None:
    """A version has the eleven documented fields, an id of its own kind and the text made from its HTML."""
    headers = await api.headers()
    template = await made(api, headers)
    version = await with_version(
        api, headers, template["id"], subject="Hi {{name}}", html_content="<p>Hello {{name}}</p>", preheader="{{x}}"
    )
    assert version["id"].startswith("v_")
    assert len(version["id"]) == 15
    assert version == {
        "id": version["id"],
        "template_id": template["id"],
        "name": "first",
        "subject": "Hi {{name}}",
        "active": 0,
        "html_content": "<p>Hello {{name}}</p>",
        "plain_content": "Hello {{name}}\n",
        "preheader": "{{x}}",
        "editor": "code",
        "created_at": "2027-01-15T08:00:00Z",
        "updated_at": "2027-01-15T08:00:00Z",
    }
    path = f"/v3/templates/{template['id']}/versions"
    assert (await api.client.get(f"{path}/{version['id']}", headers=headers)).json() == version
    assert (await api.client.get(path, headers=headers)).json() == {"versions": [version]}


async def test_made_plain_text_follows_the_html_and_given_text_does_not(api: SlowApi) -> None:
    """A text that was given stays when the HTML changes; emptied, it is made from the HTML again."""
    headers = await api.headers()
    template = await made(api, headers)
    version = await with_version(api, headers, template["id"], html_content="<p>one</p>")
    path = f"/v3/templates/{template['id']}/versions/{version['id']}"

    async def patched(**fields: Any) -> str:
        answer = await api.client.patch(path, headers=headers, json=fields)
        assert answer.status_code == 200, answer.text
        return str(answer.json()["plain_content"])

    assert await patched(html_content="<p>two</p>") == "two\n"
    assert await patched(plain_content="mine") == "mine"
    assert await patched(html_content="<p>three</p>") == "mine"
    assert await patched(plain_content="") == "three\n"


async def test_text_that_html_cannot_give_is_left_out(api: SlowApi) -> None:
    """Where the text made from the HTML would be no template, the version has none."""
    headers = await api.headers()
    template = await made(api, headers)
    html = "<p>a</p><script>{{#if x}}</script>{{/if}}"
    version = await with_version(api, headers, template["id"], html_content=html)
    assert version["plain_content"] == ""


@pytest.mark.parametrize("field", ["subject", "preheader", "html_content", "plain_content"])
async def test_what_does_not_compile_is_refused_where_it_stands(api: SlowApi, field: str) -> None:
    """The refusal names the field, the line and the column."""
    headers = await api.headers()
    template = await made(api, headers)
    answer = await api.client.post(
        f"/v3/templates/{template['id']}/versions",
        headers=headers,
        json={"name": "broken", field: "Hello\n {{#if name}} there"},
    )
    assert list(bad_fields(answer)) == [field]
    assert "line 2, column 2" in bad_fields(answer)[field]
    assert (await api.client.get(f"/v3/templates/{template['id']}", headers=headers)).json()["versions"] == []


async def test_every_fault_is_told_at_once(api: SlowApi) -> None:
    """Two broken fields give two entries; a change that breaks a version leaves it as it was."""
    headers = await api.headers()
    template = await made(api, headers)
    version = await with_version(api, headers, template["id"], subject="fine")
    path = f"/v3/templates/{template['id']}/versions/{version['id']}"
    answer = await api.client.patch(path, headers=headers, json={"subject": "{{#if}}", "html_content": "{{/if}}"})
    assert sorted(bad_fields(answer)) == ["html_content", "subject"]
    assert (await api.client.get(path, headers=headers)).json()["subject"] == "fine"


async def test_a_legacy_version_is_never_compiled(api: SlowApi) -> None:
    """Legacy templates are stored as they are, whatever braces they hold."""
    headers = await api.headers()
    template = await made(api, headers, generation="legacy")
    version = await with_version(api, headers, template["id"], html_content="<p>{{#if <%body%></p>", active=1)
    assert version["html_content"] == "<p>{{#if <%body%></p>"
    assert version["active"] == 1


async def test_lengths_are_bounded(api: SlowApi) -> None:
    """Each text has its limit, told by field."""
    headers = await api.headers()
    template = await made(api, headers)
    answer = await api.client.post(
        f"/v3/templates/{template['id']}/versions",
        headers=headers,
        json={
            "name": "x" * 256,
            "subject": "x" * 1_001,
            "preheader": "x" * 501,
            "html_content": "ü" * (MAX_BODY // 2 + 1),
            "plain_content": "x" * (MAX_BODY + 1),
        },
    )
    assert sorted(bad_fields(answer)) == ["html_content", "name", "plain_content", "preheader", "subject"]
    named = await api.client.post("/v3/templates", headers=headers, json={"name": ""})
    assert list(bad_fields(named)) == ["name"]


async def test_wrong_types_are_refused_by_field(api: SlowApi) -> None:
    """Shapes are checked before meaning, and all bad fields are listed."""
    headers = await api.headers()
    template = await made(api, headers)
    answer = await api.client.post(
        f"/v3/templates/{template['id']}/versions", headers=headers, json={"subject": 5, "active": 2, "editor": "vi"}
    )
    assert sorted(bad_fields(answer)) == ["active", "editor", "name", "subject"]


async def test_one_version_is_active_at_a_time(api: SlowApi) -> None:
    """Activating a version takes the place of the one before, on creation, by PATCH and by its own call."""
    headers = await api.headers()
    template = (await made(api, headers))["id"]
    one = (await with_version(api, headers, template, active=1))["id"]
    two = (await with_version(api, headers, template, name="second", active=1))["id"]

    async def active() -> list[str]:
        found = (await api.client.get(f"/v3/templates/{template}", headers=headers)).json()["versions"]
        return [v["id"] for v in found if v["active"]]

    assert await active() == [two]
    path = f"/v3/templates/{template}/versions"
    answer = await api.client.post(f"{path}/{one}/activate", headers=headers)
    assert (answer.status_code, answer.json()["active"]) == (200, 1)
    assert await active() == [one]
    await api.client.patch(f"{path}/{two}", headers=headers, json={"active": 1})
    assert await active() == [two]
    answer = await api.client.post(f"{path}/{two}/deactivate", headers=headers)
    assert answer.json()["active"] == 0
    assert await active() == []


async def test_the_active_version_cannot_be_deleted(api: SlowApi) -> None:
    """It is 400 while it is active and 204 once it is not."""
    headers = await api.headers()
    template = (await made(api, headers))["id"]
    version = (await with_version(api, headers, template, active=1))["id"]
    path = f"/v3/templates/{template}/versions/{version}"
    refused = await api.client.delete(path, headers=headers)
    assert refused.status_code == 400
    assert isinstance(refused.json()["detail"], str)
    await api.client.post(f"{path}/deactivate", headers=headers)
    assert (await api.client.delete(path, headers=headers)).status_code == 204
    assert (await api.client.get(path, headers=headers)).status_code == 404


async def test_a_copy_of_a_template_has_its_versions(api: SlowApi) -> None:
    """The copy has ids of its own, and the same texts; without a body it gets a name."""
    headers = await api.headers()
    template = (await made(api, headers))["id"]
    original = await with_version(api, headers, template, subject="Hi", active=1)
    answer = await api.client.post(f"/v3/templates/{template}", headers=headers)
    assert answer.status_code == 201
    copy = answer.json()
    assert copy["name"] == "Copy of welcome"
    assert copy["id"] != template
    (version,) = copy["versions"]
    assert version["id"] != original["id"]
    assert version["template_id"] == copy["id"]
    assert (version["subject"], version["active"]) == ("Hi", 1)
    named = await api.client.post(f"/v3/templates/{template}", headers=headers, json={"name": "twin"})
    assert named.json()["name"] == "twin"


async def test_a_copy_of_a_version_is_inactive(api: SlowApi) -> None:
    """Duplicating the active version leaves it active and makes another beside it."""
    headers = await api.headers()
    template = (await made(api, headers))["id"]
    original = await with_version(api, headers, template, subject="Hi", active=1)
    path = f"/v3/templates/{template}/versions"
    copy = (await api.client.post(f"{path}/{original['id']}/duplicate", headers=headers)).json()
    assert (copy["name"], copy["subject"], copy["active"]) == ("Copy of first", "Hi", 0)
    assert (await api.client.get(path, headers=headers)).json()["versions"] == [original, copy]


@pytest.mark.parametrize("ident", ["v_0000000000000", "v_!", "nothing", "d-0000000000000"])
async def test_a_version_id_that_is_none_is_not_there(api: SlowApi, ident: str) -> None:
    """Unknown ids and strings that are no ids are alike 404."""
    headers = await api.headers()
    template = (await made(api, headers))["id"]
    answer = await api.client.get(f"/v3/templates/{template}/versions/{ident}", headers=headers)
    assert (answer.status_code, answer.json()) == (404, {"detail": "Template version not found"})


async def test_each_verb_needs_its_scope(api: SlowApi) -> None:
    """Reading, writing and deleting are three scopes, and the refusal names the missing one."""
    template = (await made(api, await api.headers()))["id"]
    nothing = await api.headers([])
    for method, path, scope in (
        ("GET", "/v3/templates", "templates.read"),
        ("GET", f"/v3/templates/{template}", "templates.read"),
        ("POST", "/v3/templates", "templates.write"),
        ("POST", f"/v3/templates/{template}/versions/v_x/activate", "templates.write"),
        ("DELETE", f"/v3/templates/{template}", "templates.delete"),
        ("DELETE", f"/v3/templates/{template}/versions/v_x", "templates.delete"),
    ):
        answer = await api.client.request(method, path, headers=nothing)
        assert (answer.status_code, answer.json()) == (403, {"detail": f"Missing required scope: {scope}"})
    reader = await api.headers(["templates.read"])
    assert (await api.client.get("/v3/templates", headers=reader)).status_code == 200
