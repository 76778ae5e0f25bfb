"""Keys as the operator makes and ends them."""

import re
from collections.abc import AsyncIterator
from pathlib import Path

import pytest

from postclock.core.account import ALL_SCOPES, SENDARA_SCOPES, Dialect, Scope
from postclock.core.errors import Invalid, NotFound
from postclock.core.message import Mode
from postclock.service.accounts import public_key_id
from postclock.service.principal import hash_of
from tests.support.slow_api import SlowApi, bearer, slow_api


@pytest.fixture
async def api(tmp_path: Path) -> AsyncIterator[SlowApi]:
    """Services over a fresh store."""
    async with slow_api(tmp_path) as running:
        yield running


@pytest.mark.parametrize(
    ("dialect", "environment", "pattern"),
    [
        ("scaisend", "live", r"sg_live_[0-9a-f]{32}"),
        ("scaisend", "test", r"sg_test_[0-9a-f]{32}"),
        ("sendara", "live", r"sk_live_[0-9a-f]{32}"),
        ("sendara", "test", r"sk_test_[0-9a-f]{32}"),
    ],
)
async def test_a_secret_tells_its_kind(api: SlowApi, dialect: Dialect, environment: Mode, pattern: str) -> None:
    """The prefix tells dialect and mode; 128 random bits follow; every kind of key is let in."""
    scopes = ["admin"] if dialect == "sendara" else []
    made = await api.keys.make(api.tenant, name="k", dialect=dialect, environment=environment, scopes=scopes)
    assert re.fullmatch(pattern, made.secret)
    assert made.key.prefix == made.secret[:16]
    principal = await api.authenticator.authenticate(f"Bearer {made.secret}")
    assert (principal.key, principal.mode) == (made.key, environment)


async def test_the_secret_is_stored_as_its_hash_alone(api: SlowApi, tmp_path: Path) -> None:
    """The store finds the key by SHA-256; the secret stands in no file, and not in what is printed of the record."""
    made = await api.key()
    found = await api.store.accounts.find_key(hash_of(made.secret))
    assert found is not None
    assert made.secret not in repr(made)
    for file in tmp_path.iterdir():
        assert made.secret.encode() not in file.read_bytes()


async def test_a_sendara_scope_stands_for_several(api: SlowApi) -> None:
    """send, read and admin, exactly one of them; a send key reads no message."""
    for name, scopes in SENDARA_SCOPES.items():
        made = await api.keys.make(api.tenant, name="k", dialect="sendara", environment="live", scopes=[name])
        assert made.key.scopes == scopes
        assert (Scope.messages_read in made.key.scopes) == (name != "send")
    for wrong in ([], ["send", "read"], ["mail.send"]):
        with pytest.raises(Invalid, match="one of: send, read, admin"):
            await api.keys.make(api.tenant, name="k", dialect="sendara", environment="live", scopes=wrong)


async def test_a_scaisend_key_reads_messages_unless_told_not_to(api: SlowApi) -> None:
    """The operator may leave that scope out."""
    assert (await api.key(["mail.send"])).key.scopes == {Scope.mail_send, Scope.messages_read}
    assert (await api.key(["mail.send"], read_messages=False)).key.scopes == {Scope.mail_send}
    with pytest.raises(Invalid, match="Unknown scope: mail\\.read"):
        await api.key(["mail.read"])


async def test_the_operator_ends_any_key(api: SlowApi) -> None:
    """By its public id, whosever it is; it stops at once and stays listed."""
    neighbour = await api.tenants.create("neighbour")
    made = await api.key(tenant=neighbour)
    headers = bearer(made)
    assert (await api.client.get("/v3/scopes", headers=headers)).status_code == 200
    ended = await api.keys.revoke_any(public_key_id(made.key))
    assert ended.revoked_at == api.clock.now_ms()
    assert (await api.client.get("/v3/scopes", headers=headers)).status_code == 401
    assert [key.id for key in await api.keys.all_keys()] == [made.key.id]
    assert await api.keys.all_keys(api.tenant) == []
    with pytest.raises(NotFound):
        await api.keys.revoke_any("key_0000000000000")


async def test_no_scope_is_gained_by_making_keys(api: SlowApi) -> None:
    """Whatever one scope a maker holds beside admin.api_keys, its keys hold no other."""
    for scope in sorted(ALL_SCOPES):
        made = await api.key([scope, "admin.api_keys"], read_messages=False)
        headers = bearer(made)
        answer = await api.client.get("/v3/scopes", headers=headers)
        held = set(answer.json()["held"])
        for wanted in sorted(ALL_SCOPES - made.key.scopes):
            by = await api.authenticator.authenticate(headers["Authorization"])
            with pytest.raises(Exception, match=f"Missing required scope: {re.escape(wanted)}"):
                await api.keys.create(by, name="k", scopes=[wanted])
        child = await api.keys.create(by, name="k", scopes=sorted(held))
        assert child.key.scopes == made.key.scopes
