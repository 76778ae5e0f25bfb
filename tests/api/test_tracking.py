"""/t/o and /t/c as anybody meets them: always the same picture, and only the way that was signed."""

from collections.abc import AsyncIterator
from urllib.parse import quote

import httpx
import pytest

from postclock.api.app import build_app
from postclock.api.tracking import PIXEL, tracking_routes
from postclock.mail.tracking import Named
from postclock.service.tracking import Engagements
from tests.support.clock import MovedClock
from tests.support.engaged import TOKENS, Engaged, engagements

NAMED = Named(5, 2976, 0)
URL = "https://shop.example/a?b=c&d=é#f"


class Ground:
    """The app, a client without a key, and the store behind."""

    def __init__(self) -> None:
        self.store = Engaged()
        self.service: Engagements = engagements(self.store, MovedClock())
        app = build_app(tracking_routes(self.service), {}, voices={})
        self.client = httpx.AsyncClient(transport=httpx.ASGITransport(app), base_url="http://postclock")

    async def click(self, token: str, u: str | None, method: str = "GET") -> httpx.Response:
        """Follow a link; ``u`` as it stands in it."""
        query = "" if u is None else f"?u={u}"
        return await self.client.request(method, f"/t/c/{token}{query}", headers={"User-Agent": "browser"})

    async def told(self) -> list[tuple[str, int, str]]:
        """What the store got."""
        await self.service.flush()
        return [(e.kind, e.message, e.url) for e in self.store.all]


@pytest.fixture
async def here() -> AsyncIterator[Ground]:
    ground = Ground()
    async with ground.client:
        yield ground


def click_token(url: str = URL) -> str:
    return TOKENS.make("click", NAMED, url)


async def test_every_token_gets_the_same_picture(here: Ground) -> None:
    """A GIF of 42 octets that nobody may keep; whether it counted cannot be seen."""
    answers = [
        await here.client.get(f"/t/o/{token}.gif")
        for token in (TOKENS.make("open", NAMED), TOKENS.make("open", Named(6, 1, None))[:-1] + "A", "A" * 32, "x", click_token(), "%00", "é", "a.b")
    ]  # fmt: skip
    first = answers[0]
    assert (first.status_code, first.content, first.headers["content-type"]) == (200, PIXEL, "image/gif")
    assert len(PIXEL) == 42
    assert PIXEL.startswith(b"GIF89a\x01\x00\x01\x00")
    assert "no-store" in first.headers["cache-control"]
    for answer in answers[1:]:
        assert (answer.status_code, answer.content) == (first.status_code, first.content)
        assert {n: v for n, v in answer.headers.items() if n != "x-request-id"} == {
            n: v for n, v in first.headers.items() if n != "x-request-id"
        }
    assert await here.told() == [("open", 5, "")]


async def test_a_click_leads_where_the_mail_said(here: Ground) -> None:
    """302, kept by nobody, and the address of the mail program stays with us."""
    answer = await here.click(click_token(), quote(URL, safe=""))
    assert (answer.status_code, answer.content) == (302, b"")
    assert answer.headers["location"] == "https://shop.example/a?b=c&d=%C3%A9#f"
    assert answer.headers["referrer-policy"] == "no-referrer"
    assert "no-store" in answer.headers["cache-control"]
    assert "set-cookie" not in answer.headers
    assert await here.told() == [("click", 5, URL)]
    assert here.store.all[0].agent == "browser"


async def test_a_head_request_is_answered_and_counts_for_nothing(here: Ground) -> None:
    """Programs that look at links before anybody reads the mail send it."""
    pixel = await here.client.head(f"/t/o/{TOKENS.make('open', NAMED)}.gif")
    assert (pixel.status_code, pixel.headers["content-length"]) == (200, "42")
    assert (await here.click(click_token(), quote(URL, safe=""), "HEAD")).status_code == 302
    assert (await here.click("A" * 32, quote(URL, safe=""), "HEAD")).status_code == 404
    assert await here.told() == []


@pytest.mark.parametrize(
    "u",
    [
        None, "", "javascript%3Aalert(1)", "%2F%2Fevil.example", "http%3A%2F%5Cevil.example", "/evil", "ftp%3A%2F%2Fx.example",
        "https%3A%2F%2Fa%3Ab%40x.example",
        "https%3A%2F%2Fx.example%2F%0D%0ASet-Cookie%3A%20a%3Db", "https%3A%2F%2Fx.example%2F%00", "https%3A%2F%2Fx.example%2F%20b",
        "https%3A%2F%2Fx.example%5C%40y",
        "https%3A%2F%2Fx.example&u=https%3A%2F%2Fy.example", "https%3A%2F%2Fx.example%2F" + "a" * 3_000,
    ],
)  # fmt: skip
async def test_what_is_no_web_address_is_400(here: Ground, u: str | None) -> None:
    """Also with a token that was made for exactly this; nothing of it comes back in the answer."""
    token = click_token(str(httpx.QueryParams(f"u={u}")["u"]) if u else "")
    answer = await here.click(token, u)
    assert answer.status_code == 400
    assert "location" not in answer.headers
    assert answer.text == "This link leads nowhere.\n"
    assert await here.told() == []


async def test_a_token_that_is_not_this_addresss_is_404(here: Ground) -> None:
    """Changed anywhere, of a pixel, of another address: nobody is led anywhere."""
    token, u = click_token(), quote(URL, safe="")
    forged = [token[:n] + ("A" if token[n] != "A" else "B") + token[n + 1 :] for n in range(len(token))]
    for bad in [*forged, TOKENS.make("open", NAMED), "x", token + "A", token.swapcase()]:
        answer = await here.click(bad, u)
        assert (answer.status_code, answer.text) == (404, "This link is not known here.\n")
        assert "location" not in answer.headers
    for other in ("https://evil.example/", URL + "x", URL.replace("https", "http"), "https://shop.example/"):
        assert (await here.click(token, quote(other, safe=""))).status_code == 404
    assert await here.told() == []


async def test_only_reading_is_allowed(here: Ground) -> None:
    """Nothing is posted here."""
    for method in ("POST", "PUT", "DELETE", "PATCH"):
        assert (await here.client.request(method, f"/t/o/{TOKENS.make('open', NAMED)}.gif")).status_code == 405
        assert (await here.click(click_token(), quote(URL, safe=""), method)).status_code == 405
    assert await here.told() == []
