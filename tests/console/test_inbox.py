"""What the inbox page shows of caught mails."""

from email.message import EmailMessage
from pathlib import Path

import httpx
import pytest
from starlette.applications import Starlette

from postclock.assembly import build_inbox
from postclock.console.caught import Timing
from postclock.courier.inbox import InboxCourier
from postclock.courier.relay import RelayAddress, RelayCourier
from postclock.store.sqlite.store import open_store
from tests.console.parts import DUE, NUMBER, Inbox, mail
from tests.support.clock import MovedClock

EVIL = "<script>alert(1)</script>"


async def test_the_list_shows_when_each_mail_went(inbox: Inbox) -> None:
    """Due, departed, arrived; lateness is departed minus due."""
    inbox.catch(mail("Grüße"))
    page = (await inbox.get("/inbox")).text
    for shown in ("Grüße", "ada@example.net", "08:00:00.000", "08:00:00.007", "08:00:00.012", ">7 ms<", "1 mail"):
        assert shown in page


async def test_another_day_is_named(inbox: Inbox) -> None:
    """A due time of yesterday would else look like one of today."""
    inbox.timings[NUMBER] = Timing(due_at_ms=DUE - 86_400_000, departed_at_ms=DUE)
    inbox.catch(mail())
    page = (await inbox.get("/inbox")).text
    assert ">2027-01-14<" in page
    assert page.count(">2027-01-15<") == 1


async def test_an_empty_inbox_says_so(inbox: Inbox) -> None:
    """And what to do."""
    assert "No mail yet" in (await inbox.get("/inbox")).text


@pytest.mark.parametrize(
    "header",
    [
        b"",
        b"Message-ID: <other@example.com>\r\n",
        b"Message-ID: <msg_0000000000000000@x.example>\r\n",
        b"Message-ID: msg_\r\n",
    ],
)
async def test_a_mail_of_somebody_else_has_only_its_arrival(inbox: Inbox, header: bytes) -> None:
    """Any program may deliver to the built-in server; its mail has no due time of ours."""
    inbox.catch(header + b"Subject: Other\r\n\r\nHello\r\n")
    page = (await inbox.get("/inbox")).text
    assert "Other" in page
    assert page.count("<time ") == 1


async def test_a_busy_store_leaves_the_times_out(inbox: Inbox) -> None:
    """The mail is shown without them."""
    inbox.catch(mail())
    inbox.is_busy = True
    answer = await inbox.get("/inbox")
    assert "Weekly digest" in answer.text
    assert answer.text.count("<time ") == 1


async def test_the_list_has_pages(inbox: Inbox) -> None:
    """Fifty mails on each, newest first; the link to the older ones is there while there are any."""
    for n in range(60):
        inbox.catch(mail(f"Number {n + 1} of 60"))
    first, second = (await inbox.get("/inbox")).text, (await inbox.get("/inbox?before=11")).text
    assert "Number 60 of" in first
    assert "Number 11 of" in first
    assert "Number 10 of" not in first
    assert 'href="/inbox?before=11"' in first
    assert "Number 10 of" in second
    assert "Number 1 of" in second
    assert "Older" not in second
    assert "data-refresh" in first
    assert "data-refresh" not in second


async def test_an_unchanged_list_is_not_sent_again(inbox: Inbox) -> None:
    """The page asks every two seconds."""
    inbox.catch(mail())
    version = (await inbox.get("/inbox")).headers["etag"]
    async with inbox.client() as client:
        assert (await client.get("/inbox", headers={"If-None-Match": version})).status_code == 304
        inbox.catch(mail())
        assert (await client.get("/inbox", headers={"If-None-Match": version})).status_code == 200
        inbox.box.clear()
        assert (await client.get("/inbox", headers={"If-None-Match": version})).status_code == 200


async def test_nothing_from_a_mail_becomes_markup(inbox: Inbox) -> None:
    """Subject, names, addresses, header fields, text, file names, types: all escaped, in the list and on the mail's page."""
    hostile = (
        f'Message-ID: "{EVIL}"\r\nFrom: "{EVIL}" <x@example.com>\r\nTo: {EVIL}\r\nSubject: {EVIL}\r\nX-{EVIL}: {EVIL}\r\n'
        f'Content-Type: multipart/mixed; boundary=b\r\n\r\n--b\r\nContent-Type: text/plain\r\n\r\n{EVIL}\r\n'
        f'--b\r\nContent-Type: a/{EVIL}\r\nContent-ID: {EVIL}\r\nContent-Disposition: attachment; filename="{EVIL}"\r\n\r\nx\r\n--b--\r\n'
    ).encode()  # fmt: skip
    inbox.box.add(EVIL, (EVIL, EVIL), hostile, DUE)
    for path in ("/inbox", "/inbox/1?view=text", "/inbox/1?view=headers", "/inbox/1?view=attachments"):
        answer = await inbox.get(path)
        assert answer.status_code == 200
        assert "<script>alert" not in answer.text
        assert "&lt;script&gt;alert" in answer.text


@pytest.mark.parametrize("path", ["/inbox", "/inbox/1", "/inbox/99", "/inbox/static/inbox.js"])
async def test_our_pages_run_nothing_but_their_own_file(inbox: Inbox, path: str) -> None:
    """A strict policy: nothing inline, nothing from elsewhere, in no frame, kept in no cache."""
    inbox.catch(mail(html="<p>x</p>"))
    answer = await inbox.get(path)
    policy = answer.headers["content-security-policy"]
    assert policy.startswith("default-src 'none'; style-src 'self'; script-src 'self';")
    assert "frame-ancestors 'none'" in policy
    assert "unsafe" not in policy
    assert answer.headers["x-content-type-options"] == "nosniff"
    assert answer.headers["cache-control"] == "no-store"
    assert answer.headers["referrer-policy"] == "same-origin"
    assert "<style" not in answer.text
    assert " style=" not in answer.text


async def test_html_is_framed_and_sandboxed(inbox: Inbox) -> None:
    """By the frame, and by its own header for whoever opens it outside of the frame."""
    inbox.catch(mail(html="<p>Hello <b>Ada</b></p>"))
    assert '<iframe sandbox referrerpolicy="no-referrer"' in (await inbox.get("/inbox/1")).text
    answer = await inbox.get("/inbox/1/html")
    assert answer.headers["content-security-policy"].startswith(
        "sandbox; default-src 'none'; img-src cid: data:; style-src 'unsafe-inline'"
    )
    assert answer.headers["content-type"] == "text/html; charset=utf-8"
    assert "<p>Hello <b>Ada</b></p>" in answer.text


async def test_the_source_is_text(inbox: Inbox) -> None:
    """The very octets, in a type that no browser runs."""
    caught = inbox.catch(b"Subject: \xff\r\n\r\n<html>\xfe\r\n")
    answer = await inbox.get("/inbox/1/raw")
    assert answer.content == caught.content
    assert answer.headers["content-type"] == "text/plain; charset=utf-8"
    assert answer.headers["content-security-policy"].startswith("sandbox")
    assert answer.headers["x-content-type-options"] == "nosniff"


async def test_attachments_are_files(inbox: Inbox) -> None:
    """Never opened as what they say they are; their names are made harmless."""
    made = mail()
    made.add_attachment(b"<script>", maintype="text", subtype="html", filename='../..\\a"b\u202egpj.html')
    inbox.catch(made)
    assert "Attachments" in (await inbox.get("/inbox/1")).text
    assert 'href="/inbox/1/parts/2"' in (await inbox.get("/inbox/1?view=attachments")).text
    answer = await inbox.get("/inbox/1/parts/2")
    assert answer.content == b"<script>"
    assert answer.headers["content-type"] == "application/octet-stream"
    assert answer.headers["content-disposition"] == "attachment; filename*=UTF-8''a_b_gpj.html"
    assert answer.headers["x-content-type-options"] == "nosniff"


@pytest.mark.parametrize("path", ["2", "0", "x", "-1", "9" * 5_000, "1/parts/9", "1/parts/x", "\u0661", "1/html"])
async def test_what_is_not_there(inbox: Inbox, path: str) -> None:
    """A mail that went, a number that is none: a page that says so."""
    inbox.catch(mail())
    answer = await inbox.get(f"/inbox/{path}")
    assert answer.status_code == 404
    assert "not here" in answer.text


async def test_a_view_the_mail_has_not_is_its_first(inbox: Inbox) -> None:
    """Text here; a mail with html opens with that."""
    inbox.catch(mail(text="plain words"))
    for path in ("/inbox/1", "/inbox/1?view=html", "/inbox/1?view=attachments", "/inbox/1?view=" + EVIL):
        assert "plain words" in (await inbox.get(path)).text


async def test_a_long_text_is_cut_on_the_page(inbox: Inbox) -> None:
    """The source has the rest."""
    inbox.catch(mail(text="word \n" * 100_000))
    page = (await inbox.get("/inbox/1?view=text")).text
    assert "Cut here" in page
    assert len(page) < 510_000


async def test_lateness_before_and_long_after(inbox: Inbox) -> None:
    """In the unit that reads best."""
    inbox.catch(EmailMessage())
    inbox.catch(mail())
    for late, shown in (
        (-3, "\N{MINUS SIGN}3 ms"),
        (1_204, "1.204 s"),
        (200_000, "3 min 20 s"),
        (7_500_000, "2 h 5 min"),
    ):
        inbox.timings[NUMBER] = Timing(due_at_ms=DUE, departed_at_ms=DUE + late)
        assert shown in (await inbox.get("/inbox")).text
    inbox.timings[NUMBER] = Timing(due_at_ms=DUE, departed_at_ms=None)
    assert "not known" in (await inbox.get("/inbox/2")).text


async def test_only_the_inbox_courier_has_the_page(tmp_path: Path) -> None:
    """A relay sends mail to people, and there is nothing to look at here."""
    clock = MovedClock()
    store = open_store(tmp_path, clock)
    try:
        relay = RelayCourier(RelayAddress.parse("relay://127.0.0.1:2525"), hostname="client.test", clock=clock)
        assert build_inbox(relay, store) == []
        catching = InboxCourier(hostname="client.test", clock=clock)
        catching.box.add("", (), mail("Caught").as_bytes(), DUE)
        app = Starlette(routes=[*build_inbox(catching, store)])
        transport = httpx.ASGITransport(app, client=("::1", 50_000))
        async with httpx.AsyncClient(transport=transport, base_url="http://localhost:8600") as client:
            assert "Caught" in (await client.get("/inbox")).text
    finally:
        store.close()
