"""A tracked mail's whole way: pixel and links leave with it, are followed, and the timeline tells of it."""

import email
import email.policy
import re
from collections.abc import Iterator
from typing import Any
from urllib.parse import parse_qs, urlsplit

import httpx
import pytest

from tests.end_to_end.parts import Ground, ground, mail, until
from tests.support.sink import DROP, Mail

URL = "https://shop.example/offers?week=47&from=mail#top"
HTML = "<html><body><p>Hi</p><a href='https://shop.example/offers?week=47&amp;from=mail#top'>Offers</a></body></html>"
BODIES = [{"type": "text/plain", "value": f"Offers: {URL}"}, {"type": "text/html", "value": HTML}]
ON = {"click_tracking": {"enable": True, "enable_text": True}, "open_tracking": {"enable": True}}


@pytest.fixture(scope="module")
def here(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Ground]:
    """A server that says "later" at once to whoever is called so, and takes everything else."""
    with ground(tmp_path_factory.mktemp("tracking")) as made:
        yield made


def body(m: Mail, kind: str) -> str:
    """A body as its reader sees it."""
    message = email.message_from_bytes(m.content, policy=email.policy.default)
    assert isinstance(message, email.message.EmailMessage)
    part = message.get_body((kind,))
    assert part is not None
    return str(part.get_content())


def pixel(m: Mail) -> str:
    (found,) = re.findall(r'<img src="([^"]+/t/o/[^"]+\.gif)"[^>]*></body>', body(m, "html"))
    return str(found)


def clicks(m: Mail, kind: str = "html") -> list[str]:
    return re.findall(r"http://127\.0\.0\.1:\d+/t/c/[^'\"\s]+", body(m, kind))


def fetched(url: str, method: str = "GET") -> httpx.Response:
    """What a mail program gets; it follows nothing by itself."""
    return httpx.request(method, url, headers={"User-Agent": "Mail/1.0"}, trust_env=False, timeout=30)


def told(here: Ground, ident: str, kind: str) -> list[Any]:
    """The events of this type in the timeline."""
    return [e for e in here.caller.detail(ident)["events"] if e["event_type"] == kind]


def test_an_open_and_a_click_are_in_the_timeline(here: Ground) -> None:
    """With the recipient, the address, the mail program and its IP address; the reader is led to where the sender meant."""
    [ident] = here.caller.send(mail("ada@example.com", content=BODIES, tracking_settings=ON))
    m = here.wait_for("ada@example.com")
    assert here.verifies(m)
    assert here.caller.detail(ident)["tracking_settings"] == ON
    assert pixel(m).startswith(here.service.url + "/t/o/")
    picture = fetched(pixel(m))
    assert (picture.status_code, len(picture.content), picture.headers["content-type"]) == (200, 42, "image/gif")
    (in_html,), (in_text,) = clicks(m), clicks(m, "plain")
    assert in_html == in_text
    led = fetched(in_html)
    assert (led.status_code, led.headers["location"]) == (302, URL)
    (opened,) = until(lambda: told(here, ident, "open"))
    (clicked,) = until(lambda: told(here, ident, "click"))
    assert opened["recipient_email"] == clicked["recipient_email"] == "ada@example.com"
    assert opened["metadata"] == {"useragent": "Mail/1.0", "ip": "127.0.0.1"}
    assert clicked["metadata"] == {"url": URL, "useragent": "Mail/1.0", "ip": "127.0.0.1"}
    assert here.caller.status(ident) == "delivered"


def test_forged_links_lead_nowhere(here: Ground) -> None:
    """Another address, another token, a look at the link alone: none of it is in the timeline."""
    [ident] = here.caller.send(mail("eve@example.com", content=BODIES, tracking_settings=ON))
    m = here.wait_for("eve@example.com")
    (link,) = clicks(m)
    base, _, _ = link.partition("?")
    for u, status in [("https%3A%2F%2Fevil.example", 404), ("%2F%2Fevil.example", 400), ("javascript%3A1", 400)]:
        answer = fetched(f"{base}?u={u}")
        assert (answer.status_code, "location" in answer.headers) == (status, False)
    assert fetched(base).status_code == 400
    assert fetched(link.replace("/t/c/", "/t/c/A")).status_code == 404
    assert fetched(pixel(m).replace("/t/o/", "/t/o/A")).status_code == 200
    assert fetched(pixel(m), "HEAD").status_code == fetched(link, "HEAD").status_code - 102 == 200
    fetched(pixel(m))  # this one counts, and is written after all the others
    until(lambda: told(here, ident, "open"))
    assert len(told(here, ident, "open")) == 1
    assert told(here, ident, "click") == []


def test_nothing_is_tracked_until_the_tenant_or_the_send_says_so(here: Ground) -> None:
    """Off at first; then by the tenant's setting, unless the send says no."""
    here.caller.send(mail("off@example.com", content=BODIES))
    assert b"/t/" not in here.wait_for("off@example.com").content
    for kind in ("open", "click"):
        assert here.caller.http.patch(f"/v3/tracking_settings/{kind}", json={"enabled": True}).status_code == 200
    try:
        here.caller.send(mail("on@example.com", content=BODIES))
        m = here.wait_for("on@example.com")
        assert (len(clicks(m)), len(clicks(m, "plain"))) == (1, 0)
        assert pixel(m)
        no = {"click_tracking": {"enable": False}, "open_tracking": {"enable": False}}
        here.caller.send(mail("no@example.com", content=BODIES, tracking_settings=no))
        assert b"/t/" not in here.wait_for("no@example.com").content
    finally:
        for kind in ("open", "click"):
            here.caller.http.patch(f"/v3/tracking_settings/{kind}", json={"enabled": False})


def test_a_mail_that_is_sent_again_is_the_same(here: Ground) -> None:
    """First the server takes none of it, later all of it: the octets are those of the first attempt, and the signature holds."""
    here.sink.answer("dot", "451 4.3.0 come back later")
    [ident] = here.caller.send(mail("again@example.com", content=BODIES, tracking_settings=ON))
    refused = here.sink.wait_for_refused(1)[-1]
    until(lambda: "deferred" in here.caller.events(ident))
    here.caller.post(f"/v3/messages/{ident}/fail")
    here.caller.post(f"/v3/messages/{ident}/retry")
    m = here.wait_for("again@example.com")
    assert here.verifies(m)
    assert m.content == refused.content
    (u,) = parse_qs(urlsplit(clicks(m)[0]).query)["u"]
    assert u == URL


def test_the_pixel_leaves_with_the_last_mail_before_a_stop(here: Ground) -> None:
    """What was opened just before a stop is written by it."""
    [ident] = here.caller.send(mail("stop@example.com", content=BODIES, tracking_settings=ON))
    m = here.wait_for("stop@example.com")
    fetched(pixel(m))
    here.service.stop()
    here.service.start()
    here.new_caller()
    assert len(told(here, ident, "open")) == 1


def test_an_open_proves_a_delivery_whose_result_was_lost(here: Ground) -> None:
    """The server took the mail and hung up before it said so; whoever opens it has it."""
    here.sink.answer("dot", DROP)
    [ident] = here.caller.send(
        mail("lost@example.com", content=BODIES, tracking_settings=ON, postclock={"uncertain": "hold"})
    )
    until(lambda: "uncertain" in here.caller.events(ident))
    assert here.caller.status(ident) == "sending"
    (m,) = [m for m in tuple(here.sink.refused) if "lost@example.com" in m.rcpts]
    fetched(pixel(m))
    assert here.caller.settles(ident, "delivered")["events"][-1]["metadata"] == {"proved_by": "open"}
