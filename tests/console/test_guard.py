"""The inbox answers this machine alone, and only under its own name."""

import pytest
from starlette.types import Scope

from postclock.console.guard import is_loopback_host, is_loopback_peer, is_own_origin
from tests.console.parts import HOST, Inbox, mail

PATHS = ["/inbox", "/inbox/1", "/inbox/1/html", "/inbox/1/raw", "/inbox/1/parts/1", "/inbox/static/inbox.css"]


@pytest.mark.parametrize(
    ("address", "local"),
    [
        ("127.0.0.1", True),
        ("127.8.9.1", True),
        ("::1", True),
        ("::ffff:127.0.0.1", True),
        ("192.0.2.1", False),
        ("10.0.0.1", False),
        ("0.0.0.0", False),
        ("::", False),
        ("::ffff:192.0.2.1", False),
        ("fe80::1%eth0", False),
        ("localhost", False),
        ("", False),
    ],
)
def test_peers(address: str, local: bool) -> None:
    """An address of the loopback network, in either family."""
    assert is_loopback_peer(address) is local


@pytest.mark.parametrize(
    ("host", "local"),
    [
        ("127.0.0.1", True),
        ("127.0.0.1:8600", True),
        ("localhost:1", True),
        ("LOCALHOST", True),
        ("[::1]", True),
        ("[::1]:65535", True),
        ("", False),
        ("::1", False),
        ("127.0.0.1.evil.example", False),
        ("evil.example", False),
        ("evil.example:8600", False),
        ("localhost.evil.example", False),
        ("localhost@evil.example", False),
        ("127.0.0.1:8600\n", False),
        ("127.0.0.1:", False),
        ("127.0.0.1:123456", False),
        ("127.0.0.1:\u0661", False),
        ("127.0.0.2", False),
        ("2130706433", False),
        ("0.0.0.0", False),
        ("localhost, evil.example", False),
    ],
)
def test_hosts(host: str, local: bool) -> None:
    """Three names, any port, nothing around them."""
    assert is_loopback_host(host) is local


@pytest.mark.parametrize(
    ("origins", "own"),
    [
        ([f"http://{HOST}"], True),
        ([f"HTTP://{HOST}"], True),
        ([], False),
        (["null"], False),
        (["http://127.0.0.1:9999"], False),
        (["http://localhost:8600"], False),
        (["http://evil.example"], False),
        ([f"http://{HOST}.evil.example"], False),
        ([f"http://{HOST}", "http://evil.example"], False),
    ],
)
def test_origins(origins: list[str], own: bool) -> None:
    """Exactly one, and exactly the host that is asked."""
    scope: Scope = {"headers": [(b"host", HOST.encode()), *((b"origin", o.encode()) for o in origins)]}
    assert is_own_origin(scope) is own


@pytest.mark.parametrize("path", PATHS)
async def test_another_machine_finds_nothing(inbox: Inbox, path: str) -> None:
    """Whatever it asks, by whatever method: as if there were no such path."""
    inbox.catch(mail(html="<p>Hello</p>"))
    async with inbox.client("192.0.2.7") as far, inbox.client() as near:
        assert (await near.get(path)).status_code == 200
        for method in ("GET", "HEAD", "POST", "OPTIONS"):
            assert (await far.request(method, path)).status_code == 404


@pytest.mark.parametrize("path", PATHS)
async def test_a_foreign_name_is_refused(inbox: Inbox, path: str) -> None:
    """A page whose name was made to resolve to 127.0.0.1 is told nothing of the mails."""
    inbox.catch(mail("Secret", html="<p>Secret</p>"))
    async with inbox.client(host="rebound.example:8600") as client:
        answer = await client.get(path)
    assert answer.status_code == 403
    assert "Secret" not in answer.text


@pytest.mark.parametrize("name", ["Forwarded", "X-Forwarded-For", "X-Real-IP", "Via"])
async def test_behind_a_proxy_there_is_nothing(inbox: Inbox, name: str) -> None:
    """The peer is the proxy then, and who asks is somewhere else."""
    async with inbox.client() as client:
        assert (await client.get("/inbox", headers={name: "127.0.0.1"})).status_code == 404


async def test_the_wrong_method_is_named(inbox: Inbox) -> None:
    """With the one that works."""
    async with inbox.client() as client:
        answer = await client.get("/inbox/clear")
    assert (answer.status_code, answer.headers["allow"]) == (405, "POST")


async def test_only_our_page_empties_the_inbox(inbox: Inbox) -> None:
    """A form on another site reaches this address too, but its browser says where it is from."""
    inbox.catch(mail())
    async with inbox.client() as client:
        for headers in ({}, {"Origin": "http://evil.example"}, {"Origin": "null"}):
            assert (await client.post("/inbox/clear", headers=headers)).status_code == 403
        assert len(inbox.box) == 1
        answer = await client.post("/inbox/clear", headers={"Origin": f"http://{HOST}"})
    assert (answer.status_code, answer.headers["location"]) == (303, "/inbox")
    assert len(inbox.box) == 0
