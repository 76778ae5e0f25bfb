"""What is wrong with a call is told in the shape its clients read, with the field's name; nothing of it is stored."""

import json
import socket
import time
from typing import Any

import httpx
import pytest

from tests.end_to_end.parts import Caller, Ground, each_to, mail

TOO_LARGE = 20 * 1024 * 1024 + 1
FAR = int(time.time()) + 6 * 366 * 86_400


def person(**more: Any) -> list[dict[str, Any]]:
    return [{"to": [{"email": "ada@example.com"}], **more}]


@pytest.mark.parametrize(
    ("body", "fields"),
    [
        ({}, ["personalizations", "from", "content"]),
        (mail(from_=None, subject=None, content=None), ["from", "content", "subject"]),
        (mail(send_at="tomorrow"), ["send_at"]),
        (mail(send_at=-1), ["send_at"]),
        (mail(send_at=1.5), ["send_at"]),
        (mail(send_at=True), ["send_at"]),
        (mail(send_at=FAR), ["send_at"]),
        (mail(personalizations=[*person(), *person(send_at="x")]), ["personalizations.1.send_at"]),
        (mail(personalizations=[]), ["personalizations"]),
        (mail(personalizations=None), ["personalizations"]),
        (mail(personalizations={}), ["personalizations"]),
        (mail("nobody", "ada@example.com", "two@@x"), ["personalizations.0.to.0.email", "personalizations.0.to.2.email"]),
        (mail("ada@example.com", "ADA@example.com"), ["personalizations.0.to.1.email"]),
        (mail(subject="a\r\nBcc: x@example.com"), ["subject"]),
        (mail(subject="a\u0000b"), ["subject"]),
        (mail(content=[{"type": "text/plain", "value": ""}]), ["content.0.value"]),
        (mail(headers={"Bcc": "x@example.com"}), ["headers.Bcc"]),
        (mail(from_={"email": "hello@mail.example.com", "name": "a\nb"}), ["from.name"]),
        (mail(from_="hello@mail.example.com"), ["from"]),
        (mail(attachments=[{"content": "?", "filename": "a"}]), ["attachments.0.content"]),
        (mail(template_id="d-nothing", content=None), ["template_id"]),
        (mail(batch_id="bat_01HXYZ"), ["batch_id"]),
        (mail(batch_id=7), ["batch_id"]),
        (mail(categories=[str(n) for n in range(11)]), ["categories"]),
        (mail(custom_args={"a": "x" * 10_001}), ["custom_args"]),
        (mail(postclock={"uncertain": "maybe"}), ["postclock.uncertain"]),
        (mail(asm={"group_id": 1}), ["asm"]),
        (mail(send_at=2**64), ["send_at"]),
    ],
    ids=lambda value: ",".join(value) if isinstance(value, list) else "",
)  # fmt: skip
def test_every_bad_field_is_named(shared: Ground, body: dict[str, Any], fields: list[str]) -> None:
    """All at once, each with a sentence, in SendGrid's shape."""
    refused = shared.caller.post("/v3/mail/send", body, code=400)
    assert [e["field"] for e in refused["errors"]] == fields
    assert all(e["message"] and "help" in e for e in refused["errors"])


@pytest.mark.parametrize(
    "text",
    [
        b"", b"{", b"[]", b"null", b"\xff\xfe", b'{"from": NaN}', b"[" * 70 + b"]" * 70, b'{"a": ' * 100_000,
        json.dumps(mail()).encode()[:-1], json.dumps(mail()).encode() + b"x", b'{"subject": "\\ud800"}', b"\x00",
    ],
)  # fmt: skip
def test_what_is_no_json_object(shared: Ground, text: bytes) -> None:
    """400 with errors, whatever the bytes."""
    answer = shared.caller.http.post("/v3/mail/send", content=text)
    assert answer.status_code == 400
    assert answer.json()["errors"][0]["message"]


def test_unknown_fields_are_let_pass(shared: Ground) -> None:
    """SendGrid's libraries send more than is used here."""
    [ident] = shared.caller.send(
        mail("extra@example.com", color="blue", tracking_settings={"open_tracking": {"enable": False}})
    )
    shared.caller.settles(ident, "delivered")


def test_one_bad_personalization_refuses_the_call(shared: Ground) -> None:
    """Nothing of it is stored or sent."""
    before = shared.caller.get("/v3/messages", to_email="whole@example.com")["total"]
    shared.caller.post("/v3/mail/send", each_to(["whole@example.com", "bad"]), code=400)
    assert shared.caller.get("/v3/messages", to_email="whole@example.com")["total"] == before == 0


def test_a_body_that_is_too_large(shared: Ground) -> None:
    """Over 20 MB: 413 by its announced length, before it is read; the same when it comes in pieces without one."""
    answer = shared.caller.http.post("/v3/mail/send", content=b" " * TOO_LARGE)
    assert (answer.status_code, answer.json()["errors"][0]["field"]) == (413, None)

    def pieces() -> Any:
        for _ in range(21):
            yield b" " * 1_048_576

    try:
        answer = shared.caller.http.post("/v3/mail/send", content=pieces())
        assert answer.status_code == 413
    except httpx.WriteError:
        pass  # it closed the connection while we were still writing
    assert shared.caller.get("/v3/messages", page_size=1)["page"] == 1


def test_a_large_mail_that_fits(shared: Ground) -> None:
    """Ten megabytes of text arrive whole."""
    text = ("x" * 70 + "\n") * (10 * 1024 * 1024 // 71)
    shared.caller.send(mail("large@example.com", content=[{"type": "text/plain", "value": text}]))
    m = shared.wait_for("large@example.com")
    assert m.content.count(b"x" * 70) == text.count("x" * 70)


def test_who_asks_comes_before_what_is_asked(shared: Ground) -> None:
    """Without a good key the body is not looked at: 401 with errors; without the scope 403, also for a bad body."""
    for headers in ({}, {"Authorization": "Bearer nobody"}, {"Authorization": "Basic eDp5"}):
        with httpx.Client(base_url=shared.service.url, trust_env=False) as stranger:
            answer = stranger.post("/v3/mail/send", content=b"{", headers=headers)
        assert (answer.status_code, list(answer.json())) == (401, ["errors"])
    reader = {"Authorization": f"Bearer {shared.service.key(['templates.read'])}"}
    answer = shared.caller.http.post("/v3/mail/send", content=b"{", headers=reader)
    assert answer.status_code == 403
    assert "mail.send" in answer.json()["errors"][0]["message"]


def test_outside_of_mail_a_failure_has_a_detail(shared: Ground) -> None:
    """ScaiSend's other shape: a text, or the fields with their places; also for what does not exist."""
    assert shared.caller.get("/v3/messages/msg_nothing", code=404) == {"detail": "Message not found"}
    [bad] = shared.caller.get("/v3/messages", page_size=101, code=400)["detail"]
    assert bad["loc"] == ["page_size"]
    answer = shared.caller.get("/v3/messages", page=0, status="lost", code=400)
    assert {tuple(d["loc"]) for d in answer["detail"]} == {("page",), ("status",)}
    assert "detail" in shared.caller.get("/v3/nothing", code=404)
    assert "errors" in shared.caller.get("/v3/mail/nothing", code=404)
    assert shared.caller.http.delete("/v3/mail/send").status_code == 405
    assert list(shared.caller.get("/v3/mail/batch/bat_01HXYZ", code=404)) == ["errors"]


def test_the_ceiling_on_sends(shared: Ground) -> None:
    """Every answer says what is left; above it 429 with Retry-After, and nothing is stored."""
    service = shared.service
    assert service.cli("tenants", "create", "limited").returncode == 0
    assert service.cli("tenants", "set", "limited", "rate_sends=5").returncode == 0
    limited = Caller(service.url, service.key(tenant="limited"))
    body = mail("sandbox@example.com", mail_settings={"sandbox_mode": {"enable": True}})
    answers = [limited.http.post("/v3/mail/send", json=body) for _ in range(30)]
    assert {a.status_code for a in answers} == {202, 429}
    assert {a.headers["X-RateLimit-Limit"] for a in answers} == {"5"}
    good = [a for a in answers if a.status_code == 202]
    assert good[0].headers["X-RateLimit-Remaining"] == "4"
    refused = next(a for a in answers if a.status_code == 429)
    assert int(refused.headers["Retry-After"]) >= 1
    assert int(refused.headers["X-RateLimit-Reset"]) >= int(time.time()) - 1
    assert refused.headers["X-RateLimit-Remaining"] == "0"
    assert refused.json()["errors"][0]["message"] == "Rate limit exceeded"
    assert limited.get("/v3/messages")["total"] == len(good)
    limited.close()


def test_bytes_that_are_no_http(shared: Ground) -> None:
    """Nonsense on the line, and a body that never comes, disturb nobody."""
    host, port = shared.service.url.removeprefix("http://").split(":")
    with socket.create_connection((host, int(port))) as line:
        line.sendall(b"\x16\x03\x01 not http\r\n\r\n")
        line.settimeout(5)
        assert b"400" in line.recv(200)
    slow = socket.create_connection((host, int(port)))
    slow.sendall(f"POST /v3/mail/send HTTP/1.1\r\nHost: x\r\nAuthorization: Bearer {shared.caller.key}\r\n".encode())
    slow.sendall(b"Content-Length: 100\r\n\r\n{")
    [ident] = shared.caller.send(mail("beside@example.com"))
    shared.caller.settles(ident, "delivered")
    slow.close()
    shared.caller.send(mail("after@example.com"))
