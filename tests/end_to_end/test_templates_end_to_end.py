"""Templates from the API to the recipient: rendered with each one's data, by the version that is active when the mail leaves."""

import email
import email.policy
from itertools import count
from typing import Any

from tests.end_to_end.parts import Ground, header, mail, soon, until
from tests.support.sink import Mail

_numbers = count()


def template(ground: Ground, subject: str, html: str) -> str:
    """The id of a new dynamic template with one active version."""
    ident = ground.caller.post(
        "/v3/templates", {"name": f"{subject} {next(_numbers)}", "generation": "dynamic"}, code=201
    )["id"]
    version(ground, ident, subject, html)
    return str(ident)


def version(ground: Ground, ident: str, subject: str, html: str) -> str:
    """The id of a new version, which is active from now on."""
    body = {"name": subject, "subject": subject, "html_content": html, "active": 1}
    return str(ground.caller.post(f"/v3/templates/{ident}/versions", body, code=201)["id"])


def from_template(ident: str, address: str, data: dict[str, Any], **more: Any) -> dict[str, Any]:
    people = [{"to": [{"email": address}], "dynamic_template_data": data}]
    return mail(personalizations=people, template_id=ident, subject=None, content=None, **more)


def html_of(m: Mail) -> str:
    part = email.message_from_bytes(m.content, policy=email.policy.default).get_body(("html",))
    assert part is not None
    return str(part.get_content()).strip()


def test_each_if_and_equals(shared: Ground) -> None:
    """The data decides what is written; values are escaped, three braces leave them."""
    ident = template(
        shared, "Order {{order.no}}",
        "{{#each order.lines}}{{@index}}:{{name}}{{#if gift}}*{{/if}};{{/each}}"
        '{{#equals status "paid"}}paid{{else}}open{{/equals}} {{note}} {{{note}}}',
    )  # fmt: skip
    lines = [{"name": "Tea & more"}, {"name": "Cup", "gift": True}]
    data = {"order": {"no": 7, "lines": lines}, "status": "paid", "note": "<i>x</i>"}
    shared.caller.send(from_template(ident, "order@example.com", data))
    m = shared.wait_for("order@example.com")
    assert header(m, "Subject") == "Order 7"
    assert html_of(m) == "0:Tea &amp; more;1:Cup*;paid &lt;i&gt;x&lt;/i&gt; <i>x</i>"
    shared.caller.send(from_template(ident, "open@example.com", data | {"status": "due"}))
    assert "open" in html_of(shared.wait_for("open@example.com"))


def test_the_version_that_is_active_at_hand_off_wins(shared: Ground) -> None:
    """Scheduled under one version, changed meanwhile: the new one is sent."""
    ident = template(shared, "old", "<p>old</p>")
    shared.caller.send(from_template(ident, "changed@example.com", {}, send_at=soon(4)))
    version(shared, ident, "new", "<p>new</p>")
    assert html_of(shared.wait_for("changed@example.com")) == "<p>new</p>"


def test_a_change_after_it_was_prepared(shared: Ground) -> None:
    """Prepared ahead of its second with the old version, which is replaced before it leaves: it is made anew, and not late."""
    ident = template(shared, "old", "<p>old</p>")
    [message] = shared.caller.send(from_template(ident, "stale@example.com", {}, send_at=soon(3)))
    until(lambda: shared.caller.detail(message)["attempts"] > 0)
    waiting = shared.caller.detail(message)
    assert (waiting["status"], waiting["departed_at"]) == ("queued", None)
    version(shared, ident, "new", "<p>new</p>")
    assert html_of(shared.wait_for("stale@example.com")) == "<p>new</p>"
    assert shared.caller.settles(message, "delivered")["lateness_ms"] < 2_000


def test_a_template_that_cannot_be_rendered(shared: Ground) -> None:
    """Its data makes it grow beyond all bounds: failed, with an event that says so; the others of the call are sent."""
    ident = template(
        shared, "s", "{{#each a}}{{#each @root.a}}{{#each @root.a}}{{@root.text}}{{/each}}{{/each}}{{/each}}"
    )
    data = {"a": list(range(200)), "text": "x" * 1_000}
    people = [
        {"to": [{"email": "huge@example.com"}], "dynamic_template_data": data},
        {"to": [{"email": "small@example.com"}], "dynamic_template_data": {"a": [1], "text": "fits"}},
    ]
    huge, small = shared.caller.send(mail(personalizations=people, template_id=ident, subject=None, content=None))
    failed = shared.caller.settles(huge, "failed")
    assert failed["events"][-1]["event_type"] == "failed"
    assert "template error" in failed["events"][-1]["metadata"]["reason"]
    assert failed["departed_at"] is None
    shared.caller.settles(small, "delivered")
    assert html_of(shared.wait_for("small@example.com")) == "fits"
    assert not shared.came_to("huge@example.com")


def test_a_template_deleted_while_its_mail_waits(shared: Ground) -> None:
    """What was accepted with it is still sent, by the version that was active then."""
    ident = template(shared, "kept", "<p>kept</p>")
    shared.caller.send(from_template(ident, "deleted@example.com", {}, send_at=soon(3)))
    assert shared.caller.http.delete(f"/v3/templates/{ident}").status_code == 204
    assert html_of(shared.wait_for("deleted@example.com")) == "<p>kept</p>"
    refused = shared.caller.post("/v3/mail/send", from_template(ident, "deleted@example.com", {}), code=400)
    assert [e["field"] for e in refused["errors"]] == ["template_id"]
