"""Sendara's own Python library against the running service: templates and domains, from the first call to the mail that arrives."""

import email
import email.policy
from collections.abc import Iterator
from datetime import UTC, datetime
from email.message import EmailMessage
from typing import Any

import pytest
from sendara import NotFoundError, Sendara, SendaraError, ValidationError

from postclock.runtime.shifted_clock import ClockFile
from tests.end_to_end.parts import Caller, Ground, ground, soon
from tests.support.dns_server import DnsServer
from tests.support.process import DOMAIN
from tests.support.sink import Mail

FROM = f"hello@{DOMAIN}"
HOST = "out.example.net"


@pytest.fixture(scope="module")
def dns() -> Iterator[DnsServer]:
    """The DNS that the service asks."""
    with DnsServer() as server:
        yield server


AHEAD = 67
"""Seconds from a call to the moment it schedules for: less than a minute ahead would be sent at once."""
STEP = 58
"""Seconds that the clock is moved on then: a step of more than a minute would be an accident, and held."""


class Hand:
    """The service's clock, for what is scheduled."""

    def __init__(self, file: ClockFile) -> None:
        self._file = file
        self._ahead = 0
        self.path = file.path

    def moment(self) -> str:
        """A moment that is soon, once the clock was moved on."""
        at = datetime.fromtimestamp(soon(self._ahead + AHEAD), UTC)
        return at.strftime("%Y-%m-%dT%H:%M:%SZ")

    def move_on(self) -> None:
        """To a few seconds before that moment."""
        self._ahead += STEP
        self._file.shift(self._ahead * 1000)


@pytest.fixture(scope="module")
def hand(tmp_path_factory: pytest.TempPathFactory) -> Hand:
    """What moves the service's clock."""
    return Hand(ClockFile(tmp_path_factory.mktemp("clock") / "clock"))


@pytest.fixture(scope="module")
def here(tmp_path_factory: pytest.TempPathFactory, dns: DnsServer, hand: Hand) -> Iterator[Ground]:
    """A service with a DNS of its own and a sink that takes everything."""
    env = {"POSTCLOCK_DNS": dns.address, "POSTCLOCK_HOSTNAME": HOST}
    with ground(tmp_path_factory.mktemp("postclock"), env, args=("--clock-file", str(hand.path))) as there:
        yield there


@pytest.fixture(scope="module")
def client(here: Ground) -> Iterator[Sendara]:
    """The library's client, as its users make it."""
    with Sendara(here.service.key(dialect="sendara"), base_url=here.service.url) as made:
        yield made


@pytest.fixture(scope="module")
def v1(here: Ground) -> Iterator[Caller]:
    """For what the library has no method for."""
    caller = Caller(here.service.url, here.service.key(dialect="sendara"))
    yield caller
    caller.close()


def parsed(ground: Ground, m: Mail) -> EmailMessage:
    assert ground.verifies(m)
    read = email.message_from_bytes(m.content, policy=email.policy.default)
    assert isinstance(read, EmailMessage)
    return read


def text_of(m: EmailMessage, kind: str) -> str:
    part = m.get_body((kind,))
    assert part is not None
    return str(part.get_content()).strip()


def a_template(client: Sendara, **fields: Any) -> str:
    made = client.templates.create(name="welcome", channel="email", **fields)
    assert made.id is not None
    return made.id


def test_every_method_of_templates(client: Sendara) -> None:
    """Made, listed, read, changed, rendered, deleted."""
    ident = a_template(
        client,
        subject="Hi {{ name }}",
        body_html="<p>{{ name }}</p>",
        body_text="{{ name }}",
        variables=[{"name": "name", "sample": "Ada", "required": True}],
    )
    read = client.templates.get(ident)
    assert (read.name, read.channel, read.version, read.is_active) == ("welcome", "email", 1, True)
    assert read.variables == [{"name": "name", "required": True, "sample": "Ada"}]
    assert [t.id for t in client.templates.list()] == [ident]
    assert client.templates.render(ident, vars={"name": "<Ada>"}) == {
        "subject": "Hi <Ada>",
        "body_html": "<p>&lt;Ada&gt;</p>",
        "body_text": "<Ada>",
    }
    with pytest.raises(ValidationError) as missing:
        client.templates.render(ident)
    assert (missing.value.status, missing.value.code) == (422, "missing_variable")
    changed = client.templates.update(ident, subject="Hello {{ name }}")
    assert (changed.version, changed.subject, changed.body_text) == (2, "Hello {{ name }}", "{{ name }}")
    client.templates.delete(ident)
    with pytest.raises(NotFoundError):
        client.templates.get(ident)
    assert client.templates.list() == []


def test_a_send_from_a_template(client: Sendara, here: Ground) -> None:
    """Rendered with the variables of the send, defaults for the rest; escaped in the HTML alone, and signed."""
    ident = a_template(
        client,
        subject="Order {{no}}",
        body_html="<p>{{ name }}, {{ greeting }}</p>",
        body_text="{{ name }}, {{ greeting }}",
        variables=[{"name": "name", "required": True}, {"name": "greeting", "default": "welcome"}],
    )
    told = {"name": "Tea & Co {{ no }}", "no": 7}
    client.emails.send(to="order@example.com", from_=FROM, template_id=ident, template_vars=told)
    came = parsed(here, here.wait_for("order@example.com"))
    assert came["Subject"] == "Order 7"
    assert text_of(came, "plain") == "Tea & Co {{ no }}, welcome"
    assert text_of(came, "html") == "<p>Tea &amp; Co {{ no }}, welcome</p>"


def test_a_send_without_a_required_variable_is_refused(client: Sendara) -> None:
    """422 that names it; so it is as soon as the template asks for it."""
    ident = a_template(client, subject="s", body_text="t", variables=[{"name": "order_no", "required": True}])
    with pytest.raises(ValidationError, match="order_no") as missing:
        client.emails.send(to="missing@example.com", from_=FROM, template_id=ident)
    assert (missing.value.status, missing.value.code) == (422, "missing_variable")
    client.templates.update(
        ident, variables=[{"name": "order_no", "required": True}, {"name": "shop", "required": True}]
    )
    with pytest.raises(ValidationError, match="shop"):
        client.emails.send(to="missing@example.com", from_=FROM, template_id=ident, template_vars={"order_no": 1})


def test_a_template_that_is_not_there_or_not_active_cannot_be_sent(client: Sendara) -> None:
    """404 and 422; active again it can."""
    ident = a_template(client, subject="s", body_text="t")
    client.templates.update(ident, is_active=False)
    with pytest.raises(SendaraError) as inactive:
        client.emails.send(to="inactive@example.com", from_=FROM, template_id=ident)
    assert (inactive.value.status, inactive.value.code) == (422, "unprocessable")
    client.templates.update(ident, is_active=True)
    client.emails.send(to="inactive@example.com", from_=FROM, template_id=ident)
    client.templates.delete(ident)
    with pytest.raises(NotFoundError):
        client.emails.send(to="inactive@example.com", from_=FROM, template_id=ident)


def test_a_scheduled_send_goes_out_with_the_text_of_its_hour(client: Sendara, here: Ground, hand: Hand) -> None:
    """Changed meanwhile: the new text is sent. Paused or deleted meanwhile: the one it was accepted with."""
    idents = {word: a_template(client, subject="old", body_text="t") for word in ("changed", "paused", "deleted")}
    when = hand.moment()
    for word, ident in idents.items():
        client.emails.send(to=f"{word}@example.com", from_=FROM, template_id=ident, scheduled_at=when)
    client.templates.update(idents["changed"], subject="new")
    client.templates.update(idents["paused"], is_active=False)
    client.templates.delete(idents["deleted"])
    hand.move_on()
    subjects = {word: parsed(here, here.wait_for(f"{word}@example.com"))["Subject"] for word in idents}
    assert subjects == {"changed": "new", "paused": "old", "deleted": "old"}


def test_a_change_that_asks_for_more_stops_what_waits(client: Sendara, here: Ground, hand: Hand) -> None:
    """A variable that the scheduled send did not give: it fails at its hour, and says why."""
    ident = a_template(client, subject="s", body_text="t")
    sent = client.emails.send(to="more@example.com", from_=FROM, template_id=ident, scheduled_at=hand.moment())
    client.templates.update(ident, variables=[{"name": "order_no", "required": True}])
    hand.move_on()
    assert sent.id is not None
    failed = here.caller.settles(sent.id, "failed")
    assert "order_no" in str(failed["events"])
    assert not here.came_to("more@example.com")


def test_a_dynamic_template_of_v3_may_be_sent(client: Sendara, here: Ground) -> None:
    """Rendered by Handlebars with the variables of the send; /v3 for its part knows none of the others."""
    dynamic = here.caller.post("/v3/templates", {"name": "dynamic"}, code=201)["id"]
    body = {"name": "v", "subject": "{{#if vip}}Dear {{/if}}{{name}}", "html_content": "<p>x</p>", "active": 1}
    here.caller.post(f"/v3/templates/{dynamic}/versions", body, code=201)
    told = {"name": "Ada", "vip": True}
    client.emails.send(to="dynamic@example.com", from_=FROM, template_id=dynamic, template_vars=told)
    assert parsed(here, here.wait_for("dynamic@example.com"))["Subject"] == "Dear Ada"
    simple = a_template(client, subject="s", body_text="t")
    people = [{"to": [{"email": "simple@example.com"}]}]
    refused = here.caller.post(
        "/v3/mail/send", {"personalizations": people, "from": {"email": FROM}, "template_id": simple}, code=400
    )
    assert "dynamic" in str(refused)


def test_every_method_of_domains(client: Sendara, dns: DnsServer) -> None:
    """Added, listed, read, verified once its records are published, and sent from."""
    made = client.domains.create("news.example.org")
    assert made.dns_records is not None
    assert (made.dkim_status, made.spf_status, made.dmarc_status, made.is_sandbox) == (
        "pending",
        "pending",
        "pending",
        False,
    )
    assert client.domains.verify("news.example.org")["fully_verified"] is False
    with pytest.raises(ValidationError) as unverified:
        client.emails.send(to="ada@example.com", from_="hello@news.example.org", subject="s", text="t")
    assert (unverified.value.status, unverified.value.code) == (422, "from_not_verified")
    for record in made.dns_records:
        assert record["type"] == "TXT"
        dns.txt(record["name"], record["value"])
    verified = client.domains.verify("news.example.org")
    assert verified["fully_verified"] is True
    assert verified["problems"] == []
    read = client.domains.get("news.example.org")
    assert (read.dkim_status, read.spf_status, read.dmarc_status) == ("verified", "verified", "verified")
    assert [d.domain for d in client.domains.list()] == [DOMAIN, "news.example.org"]
    with pytest.raises(NotFoundError):
        client.domains.get("other.example.org")


def test_a_domains_name_stands_before_a_from_without_one(client: Sendara, v1: Caller, here: Ground, hand: Hand) -> None:
    """In both dialects, unless the send gives one; a change reaches what waits."""
    path = f"/v1/domains/{DOMAIN}"
    client.emails.send(to="later@example.com", from_=FROM, subject="s", text="t", scheduled_at=hand.moment())
    answer = v1.http.patch(path, json={"default_from_name": "Acme Receipts"})
    hand.move_on()
    assert answer.json()["default_from_name"] == "Acme Receipts"
    client.emails.send(to="v1@example.com", from_=FROM, subject="s", text="t")
    client.emails.send(to="named@example.com", from_=f"Ada <{FROM}>", subject="s", text="t")
    people = [{"to": [{"email": "v3@example.com"}]}]
    content = [{"type": "text/plain", "value": "t"}]
    here.caller.send({"personalizations": people, "from": {"email": FROM}, "subject": "s", "content": content})
    shown = {w: parsed(here, here.wait_for(f"{w}@example.com"))["From"] for w in ("later", "v1", "named", "v3")}
    acme = f"Acme Receipts <{FROM}>"
    assert shown == {"later": acme, "v1": acme, "named": f"Ada <{FROM}>", "v3": acme}
    assert v1.http.patch(path, json={"default_from_name": None}).json()["default_from_name"] is None
