"""POST /v1/send: what is taken, what is answered, what is refused and in which order (Sendara's documentation, sending)."""

import json
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import pytest

from postclock.api.json_body import MAX_BODY, MAX_DEPTH
from postclock.api.sendara.translate import MAX_KEY, MAX_METADATA
from postclock.core.address import Mailbox
from postclock.core.lifecycle import State
from postclock.core.message import Content
from postclock.core.template import Template, TemplateVersion, Variable
from postclock.core.when import iso
from tests.support.send_api import DOMAIN, Json, SendApi, fresh_api, one


@pytest.fixture
async def api(tmp_path: Path) -> AsyncIterator[SendApi]:
    """The real app over a fresh store."""
    async with fresh_api(tmp_path) as running:
        yield running


async def test_the_answer_has_five_fields(api: SendApi) -> None:
    """201, as documented; the moment is in UTC, whole seconds."""
    answer = await api.post(one(idempotency_key="welcome_9f21"))
    assert answer.status_code == 201
    told = answer.json()
    assert told == {
        "id": told["id"], "status": "queued", "channel": "email", "idempotency_key": "welcome_9f21",
        "created_at": iso(api.clock.now_ms()),
    }  # fmt: skip
    assert told["id"].startswith("msg_")
    assert (await api.detail(told["id"])).row.created_at == api.clock.now_ms()


async def test_a_key_is_made_where_none_was_given(api: SendApi) -> None:
    """It is told, and from then on it is a key like any other."""
    body = one()
    first = await api.send(body)
    key = first["idempotency_key"]
    assert key.startswith("auto_")
    assert len(key) == len("auto_") + 32
    assert (await api.send(body))["idempotency_key"] != key, "each call its own"
    again = await api.post({**body, "idempotency_key": key})
    assert again.json()["id"] == first["id"]
    assert again.headers["Idempotency-Replayed"] == "true"
    found = await api.client.get("/v1/messages", headers=await api.usual(), params={"idempotency_key": key})
    assert found.json()["id"] == first["id"]


async def test_everything_said_is_kept(api: SendApi) -> None:
    """Each field ends where the mail is made from it."""
    told = await api.send(
        one(
            "Ada@Example.net",
            metadata={"from_email": '"Acme Receipts" <hello@example.com>', "order": {"n": [1, 2.5, None]}},
            payload={"subject": "Hi", "body_html": "<p>a</p>", "body_text": "a"},
            message_type="marketing",
            store_payload=False,
            idempotency_key="k",
            postclock={"uncertain": "hold"},
        )
    )
    submission, personalization = await api.stored(told["id"])
    assert submission.from_ == Mailbox("hello@example.com", "Acme Receipts")
    assert submission.contents == (Content("text/plain", "a"), Content("text/html", "<p>a</p>"))
    assert submission.metadata == {"from_email": '"Acme Receipts" <hello@example.com>', "order": {"n": [1, 2.5, None]}}
    assert (submission.subject, submission.message_type, submission.uncertain) == ("Hi", "marketing", "hold")
    assert submission.redact
    assert submission.idempotency_key == "k"
    assert submission.api_key != 0
    assert not submission.test_send
    assert [(r.kind, r.email) for r in personalization.recipients] == [("to", "Ada@Example.net")]


@pytest.mark.parametrize(
    ("given", "mailbox"),
    [
        ("hello@example.com", Mailbox("hello@example.com")),
        (" hello@example.com ", Mailbox("hello@example.com")),
        ("Acme <hello@example.com>", Mailbox("hello@example.com", "Acme")),
        ("<hello@example.com>", Mailbox("hello@example.com")),
        ('"Acme, Inc. \\"A\\"" <hello@example.com>', Mailbox("hello@example.com", 'Acme, Inc. "A"')),
        ("Zoë Ω<hello@example.com>", Mailbox("hello@example.com", "Zoë Ω")),
    ],
)
async def test_the_sender_is_an_address_or_a_name_with_one(api: SendApi, given: str, mailbox: Mailbox) -> None:
    """As it may stand in a From header."""
    told = await api.send(one(metadata={"from_email": given}))
    assert (await api.stored(told["id"]))[0].from_ == mailbox


BAD: list[tuple[str, Json, str]] = [
    ("no channel", {"channel": None}, "channel"),
    ("another channel", {"channel": "sms"}, "channel"),
    ("no destination", {"destination": None}, "destination"),
    ("PHP's empty destination", {"destination": []}, "destination"),
    ("a destination that is text", {"destination": "ada@example.net"}, "destination"),
    ("a destination without an address", {"destination": {"phone_number": "+1"}}, "destination.email"),
    ("two destinations", {"destination": {"email": ["a@b.de", "c@d.de"]}}, "destination.email"),
    ("no address", {"destination": {"email": "ada"}}, "destination.email"),
    ("a name and an address", {"destination": {"email": "Ada <ada@example.net>"}}, "destination.email"),
    ("a line break in the address", {"destination": {"email": "ada@example.net\r\nBcc: x@y.z"}}, "destination.email"),
    ("no payload", {"payload": None}, "payload"),
    ("an empty payload of PHP", {"payload": []}, "payload"),
    ("no subject", {"payload": {"body_text": "a"}}, "payload.subject"),
    ("a subject of null", {"payload": {"subject": None, "body_text": "a"}}, "payload.subject"),
    ("no body", {"payload": {"subject": "a"}}, "payload"),
    ("bodies of null", {"payload": {"subject": "a", "body_html": None, "body_text": None}}, "payload"),
    ("a body that is a number", {"payload": {"subject": "a", "body_html": 5}}, "payload.body_html"),
    ("a line break in the subject", {"payload": {"subject": "a\r\nBcc: x@y.z", "body_text": "a"}}, "payload.subject"),
    ("NUL in a body", {"payload": {"subject": "a", "body_text": "a\0"}}, "payload.body_text"),
    ("NUL in metadata", {"metadata": {"from_email": "a@example.com", "x": ["\0"]}}, "metadata.x.0"),
    ("an empty key", {"idempotency_key": ""}, "idempotency_key"),
    ("a long key", {"idempotency_key": "k" * (MAX_KEY + 1)}, "idempotency_key"),
    ("a key that is a number", {"idempotency_key": 5}, "idempotency_key"),
    ("an unknown type", {"message_type": "newsletter"}, "message_type"),
    ("metadata that is a list", {"metadata": [1]}, "metadata"),
    ("large metadata", {"metadata": {"from_email": "a@example.com", "x": "y" * MAX_METADATA}}, "metadata"),
    ("a sender that is no text", {"metadata": {"from_email": 5}}, "metadata.from_email"),
    ("a sender that is no address", {"metadata": {"from_email": "hello"}}, "metadata.from_email"),
    ("half a pair of angle brackets", {"metadata": {"from_email": "hello@example.com>"}}, "metadata.from_email"),
    ("two senders", {"metadata": {"from_email": "A <a@example.com>, B <b@example.com>"}}, "metadata.from_email"),
    ("a line break in the name", {"metadata": {"from_email": "A\nB <a@example.com>"}}, "metadata.from_email"),
    ("a long name", {"metadata": {"from_email": "A" * 1_001 + " <a@example.com>"}}, "metadata.from_email"),
    ("an empty template", {"template_id": "", "payload": None}, "template_id"),
    ("variables that are a list", {"template_id": "tmpl_1", "template_vars": ["a"]}, "template_vars"),
    ("a boolean that is a text", {"validate_recipient": "true"}, "validate_recipient"),
    ("a boolean that is a number", {"test_send": 1}, "test_send"),
    ("another boolean that is a text", {"store_payload": "false"}, "store_payload"),
    ("a time that is a number", {"scheduled_at": 1_800_000_000}, "scheduled_at"),
    ("an unknown policy", {"postclock": {"uncertain": "maybe"}}, "postclock.uncertain"),
    ("an integer beyond 64 bits", {"metadata": {"from_email": "a@example.com", "x": 2**65}}, "metadata.x"),
]


@pytest.mark.parametrize(("change", "field"), [case[1:] for case in BAD], ids=[case[0] for case in BAD])
async def test_a_bad_field_is_named(api: SendApi, change: Json, field: str) -> None:
    """400 invalid_request, and nothing is stored."""
    status, code, message = await api.refused(one(**change) | {k: v for k, v in change.items() if v is not None})
    assert (status, code) == (400, "invalid_request")
    assert message.startswith(f"{field}: ")
    assert await api.count() == 0


async def test_every_bad_field_is_told_at_once(api: SendApi) -> None:
    """Shape and meaning together, in one sentence."""
    _, _, message = await api.refused(
        one("ada", channel="sms", idempotency_key="", scheduled_at="tomorrow", test_send="yes")
    )
    for field in ("channel", "destination.email", "idempotency_key", "scheduled_at", "test_send"):
        assert f"{field}: " in message


@pytest.mark.parametrize("body", [b"", b"  ", b"{", b"[]", b"5", b'"text"', b"null", b"\xff", b'{"channel": NaN}'])
async def test_what_is_no_object_is_refused(api: SendApi, body: bytes) -> None:
    """400, whatever it is."""
    assert (await api.refused(body))[:2] == (400, "invalid_request")


async def test_a_body_that_nests_too_deep_is_refused(api: SendApi) -> None:
    """Also when brackets in a text hide it from the quick look."""
    deep: Any = "x"
    for _ in range(MAX_DEPTH):
        deep = {"a": deep}
    assert (await api.refused(one(metadata={"from_email": "a@example.com", "deep": deep})))[0] == 400
    hidden = json.dumps(one(metadata={"s": "]" * 100, "deep": deep, "from_email": "a@example.com"})).encode()
    assert (await api.refused(hidden))[0] == 400


async def test_a_body_that_is_too_large_is_refused(api: SendApi) -> None:
    """413 by its announced length, in the envelope."""
    status, code, _ = await api.refused(b"x", headers={"Content-Length": str(MAX_BODY + 1)})
    assert (status, code) == (413, "payload_too_large")


async def test_nulls_and_empty_lists_count_as_absent(api: SendApi) -> None:
    """Clients in PHP and older ones in Python send them."""
    body = one(payload={"subject": "a", "body_html": None, "body_text": "b"}, postclock=[], template_vars=[])
    body |= {"template_id": None, "scheduled_at": None, "message_type": None, "validate_recipient": None}
    submission, _ = await api.stored((await api.send(body))["id"])
    assert submission.contents == (Content("text/plain", "b"),)


async def test_unknown_fields_are_ignored(api: SendApi) -> None:
    """At every level."""
    body = one() | {"tags": ["a"], "reply_to": "x@y.z"}
    body["destination"]["phone_number"] = "+1"
    await api.send(body)


# The sender


async def test_an_unverified_domain_is_refused(api: SendApi) -> None:
    """422 from_not_verified; the message names the domain."""
    status, code, message = await api.refused(one(metadata={"from_email": "hello@elsewhere.com"}))
    assert (status, code) == (422, "from_not_verified")
    assert "elsewhere.com" in message


async def test_without_a_sender_the_tenants_default_is_taken(api: SendApi) -> None:
    """And where there is none, 422 from_not_verified; PHP's empty metadata is no sender either."""
    nobody: tuple[Any, ...] = (None, {}, [], {"from_email": None})
    for metadata in nobody:
        body = one(metadata=None) | ({} if metadata is None else {"metadata": metadata})
        assert (await api.refused(body))[:2] == (422, "from_not_verified")
    await api.tenants.set("default", [f"default_from=shop@{DOMAIN}"])
    told = await api.send(one(metadata=None))
    assert (await api.stored(told["id"]))[0].from_ == Mailbox(f"shop@{DOMAIN}")
    assert (await api.refused(one(metadata={"from_email": "hello"})))[0] == 400, "a bad one is not replaced"


async def test_test_mail_may_come_from_anywhere(api: SendApi) -> None:
    """It goes nowhere; it is queued like any other, for its simulated outcome."""
    told = await api.send(one(metadata={"from_email": "hello@elsewhere.com"}), mode="test")
    found = await api.detail(told["id"], mode="test")
    assert (told["status"], found.row.state, found.mode) == ("queued", State.queued, 1)
    assert await api.count() == 0, "a live key does not see it"


# Templates


async def _template(api: SendApi, ident: str = "tmpl_welcome", *variables: Variable) -> None:
    version = TemplateVersion(
        id=api.ids.next(), template=ident, name="v", subject="Hi {{ name }}", html="<p>{{ name }}</p>", active=True,
        variables=variables,
    )  # fmt: skip
    generation = "simple" if ident.startswith("tmpl_") else "dynamic"
    made = Template(
        id=ident, name=ident, generation=generation, created_at=1, updated_at=1, versions=(version,),  # type: ignore[arg-type]
    )  # fmt: skip
    await api.store.templates.create_template(api.tenant.id, made)


async def test_a_template_takes_the_place_of_the_payload(api: SendApi) -> None:
    """What stands beside it is not looked at."""
    await _template(api)
    body = one(template_id="tmpl_welcome", template_vars={"name": "Ada", "n": 5}, payload={"subject": None})
    submission, personalization = await api.stored((await api.send(body))["id"])
    assert (submission.template_id, submission.subject, submission.contents) == ("tmpl_welcome", "", ())
    assert submission.template_version is not None
    assert personalization.template_data == {"name": "Ada", "n": 5}
    await api.send(one(template_id="tmpl_welcome", payload=None))


async def test_a_dynamic_template_can_be_sent_as_well(api: SendApi) -> None:
    """Both dialects share the templates."""
    await _template(api, "d-00000000000000000000000000000001")
    await api.send(one(template_id="d-00000000000000000000000000000001", payload=None))


async def test_an_unknown_template_is_not_found(api: SendApi) -> None:
    """404 not_found, also for another tenant's."""
    assert (await api.refused(one(template_id="tmpl_nowhere", payload=None)))[:2] == (404, "not_found")


async def test_a_missing_variable_is_told_at_once(api: SendApi) -> None:
    """422 missing_variable, which names it; with a value it goes through."""
    await _template(api, "tmpl_welcome", Variable("name", required=True))
    status, code, message = await api.refused(one(template_id="tmpl_welcome", payload=None))
    assert (status, code) == (422, "missing_variable")
    assert "name" in message
    await api.send(one(template_id="tmpl_welcome", payload=None, template_vars={"name": "Ada"}))


# What stands against a recipient


async def test_a_recipient_that_cannot_get_mail(api: SendApi) -> None:
    """Asked for with validate_recipient: 422 recipient_undeliverable; else nobody looks."""
    api.undeliverable["ada@example.net"] = "domain cannot receive email (no MX or A record)"
    await api.send(one())
    assert api.looked_at == []
    status, code, message = await api.refused(one(validate_recipient=True))
    assert (status, code) == (422, "recipient_undeliverable")
    assert "no MX" in message
    await api.send(one("bob@example.net", validate_recipient=True))
    assert api.looked_at == ["ada@example.net", "bob@example.net"]


async def test_a_test_send_needs_a_verified_test_recipient(api: SendApi) -> None:
    """Else 422 invalid_recipient; addresses are compared without case."""
    assert (await api.refused(one(test_send=True)))[:2] == (422, "invalid_recipient")
    api.testers.add("ada@example.net")
    told = await api.send(one("Ada@EXAMPLE.net", test_send=True))
    assert (await api.stored(told["id"]))[0].test_send


async def test_a_suppressed_recipient_is_refused(api: SendApi) -> None:
    """409 recipient_suppressed, in the mode of the key; scheduled or not."""
    await api.suppress("ada@example.net")
    await api.suppress("bob@example.net", mode="test")
    for body in (one("ADA@example.net"), one(scheduled_at=api.at(3_600))):
        assert (await api.refused(body))[:2] == (409, "recipient_suppressed")
    await api.send(one("bob@example.net"))
    await api.send(one("ada@example.net"), mode="test")
    assert (await api.refused(one("bob@example.net"), mode="test"))[:2] == (409, "recipient_suppressed")


async def test_over_the_spend_cap_only_an_immediate_send_is_refused(api: SendApi) -> None:
    """402 spend_cap_exceeded; a scheduled one is charged at its hand-off, a test key's never."""
    api.spent = "the hard cap is reached"
    assert (await api.refused(one()))[:2] == (402, "spend_cap_exceeded")
    assert (await api.send(one(scheduled_at=api.at(60))))["status"] == "scheduled"
    await api.send(one(), mode="test")


async def test_the_checks_have_an_order(api: SendApi) -> None:
    """Sender, template, variables, recipient, test recipient, suppression, spending: mended one by one, the next one speaks."""
    await _template(api, "tmpl_welcome", Variable("name", required=True))
    await api.suppress("ada@example.net")
    api.spent = "the hard cap is reached"
    api.undeliverable["ada@example.net"] = "no"
    body = one(
        channel="sms", template_id="tmpl_nowhere", validate_recipient=True, test_send=True,
        metadata={}, scheduled_at=api.at(91 * 86_400),
    )  # fmt: skip
    told = []
    for mended in (
        {"channel": "email"},
        {"scheduled_at": None},
        {"template_id": "tmpl_welcome"},
        {"metadata": {"from_email": "hello@elsewhere.com"}},
        {"metadata": {"from_email": f"hello@{DOMAIN}"}},
        {"template_vars": {"name": "Ada"}},
        "undeliverable",
        "tester",
        "suppressed",
        "spent",
    ):
        told.append((await api.refused(body))[1])
        if isinstance(mended, dict):
            body |= mended
        elif mended == "undeliverable":
            api.undeliverable.clear()
        elif mended == "tester":
            api.testers.add("ada@example.net")
        elif mended == "suppressed":
            await api.store.suppressions.unsuppress(api.tenant.id, 0, "bounces", "ada@example.net")
        else:
            api.spent = ""
    assert told == [
        "invalid_request", "invalid_request", "not_found", "from_not_verified", "from_not_verified", "missing_variable",
        "recipient_undeliverable", "invalid_recipient", "recipient_suppressed", "spend_cap_exceeded",
    ]  # fmt: skip
    assert (await api.post(body)).status_code == 201
