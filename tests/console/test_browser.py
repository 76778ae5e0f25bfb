"""What a real browser does with a mail that would like to do more than be read."""

from pathlib import Path

import pytest
from starlette.applications import Starlette
from starlette.requests import Request
from starlette.responses import HTMLResponse, Response
from starlette.routing import Mount, Route

from tests.console.browser import chromium, look, must_have_one, served
from tests.console.parts import Inbox, mail

pytestmark = pytest.mark.browser

HOSTILE = (
    "<p id=p>still</p><img src=/beacon-image><link rel=stylesheet href=/beacon-style><iframe src=/beacon-frame></iframe>"
    "<style>p { background: url(/beacon-background) }</style><form action=/beacon-form><button id=b>x</button></form>"
    "<script>document.getElementById('p').textContent = 'ran'; fetch('/beacon-script'); document.getElementById('b').click()</script>"
    "<meta http-equiv=refresh content='0; url=/beacon-refresh'><img src=x onerror=\"document.getElementById('p').textContent = 'ran'\">"
)


@pytest.fixture
def binary() -> str:
    """The browser; where there is none the test is skipped, unless one was installed for the tests."""
    found = chromium()
    if found is None:
        if must_have_one():
            pytest.fail("no chromium, although one is required: install Debian's package of that name")
        pytest.skip("no chromium found")
    return found


async def test_a_mails_script_does_not_run(inbox: Inbox, binary: str, tmp_path: Path) -> None:
    """Neither in the page's frame nor opened by itself, and it fetches nothing; served without our headers it does both."""
    inbox.catch(mail("Watch me", html=HOSTILE))

    async def bare(_: Request) -> Response:
        return HTMLResponse(HOSTILE.split("<meta")[0].replace("; document.getElementById('b').click()", ""))

    async def beacon(_: Request) -> Response:
        return Response(status_code=204)

    app = Starlette(routes=[Route("/bare", bare), Route("/beacon-{what}", beacon), Mount("/", inbox.app)])
    async with served(app) as site:
        page = await look(binary, f"{site.url}/inbox/1", tmp_path / "page")
        assert "Watch me" in page
        assert "7 ms" in page
        assert "/inbox/1/html" in site.asked
        alone = await look(binary, f"{site.url}/inbox/1/html", tmp_path / "alone")
        assert '<p id="p">still</p>' in alone
        assert [path for path in site.asked if "beacon" in path] == []
        assert '<p id="p">ran</p>' in await look(binary, f"{site.url}/bare", tmp_path / "bare")
        assert {"/beacon-script", "/beacon-image"} <= set(site.asked)


async def test_the_list_refreshes_itself(inbox: Inbox, binary: str, tmp_path: Path) -> None:
    """A mail that comes while the page is open appears in it, with its lateness."""

    def arrive_when_seen(request: Request) -> None:
        if len(inbox.box) == 0 and "if-none-match" in request.headers:
            inbox.catch(mail("Came later"))

    async def page(request: Request) -> Response:
        arrive_when_seen(request)
        return await _forward(inbox, request)

    app = Starlette(routes=[Route("/inbox", page), Mount("/", inbox.app)])
    async with served(app) as site:
        seen = await look(binary, f"{site.url}/inbox", tmp_path / "list", "--virtual-time-budget=5000")
    assert "Came later" in seen
    assert "7 ms" in seen
    assert "No mail yet" not in seen


async def _forward(inbox: Inbox, request: Request) -> Response:
    async with inbox.client() as client:
        answer = await client.get("/inbox", headers={k: v for k, v in request.headers.items() if k == "if-none-match"})
    return Response(
        answer.content,
        answer.status_code,
        {"Content-Type": "text/html", "Content-Security-Policy": answer.headers["content-security-policy"]},
    )


async def test_the_button_empties_the_inbox(inbox: Inbox, binary: str, tmp_path: Path) -> None:
    """Under the page's own referrer policy the browser says where the form is from; the script here only presses the button."""
    inbox.catch(mail("Soon gone"))

    async def pressed(_: Request) -> Response:
        page = await inbox.get("/inbox")
        assert "Soon gone" in page.text
        policy = page.headers["content-security-policy"].replace("script-src 'self'", "script-src 'unsafe-inline'")
        headers = {"Content-Security-Policy": policy, "Referrer-Policy": page.headers["referrer-policy"]}
        return HTMLResponse(page.text + "<script>document.querySelector('form').submit()</script>", headers=headers)

    app = Starlette(routes=[Route("/pressed", pressed), Mount("/", inbox.app)])
    async with served(app) as site:
        await look(binary, f"{site.url}/pressed", tmp_path / "pressed", "--virtual-time-budget=5000")
    assert "/inbox/clear" in site.asked
    assert len(inbox.box) == 0
