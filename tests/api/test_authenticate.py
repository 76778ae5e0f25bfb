"""Who is let in: credentials over HTTP, and how long what was found is remembered."""

import asyncio
from collections.abc import Mapping

import pytest

from postclock.core.account import ApiKey, Tenant
from postclock.core.errors import Busy, Unauthorized
from postclock.service.principal import MAX_REMEMBERED, Authenticator, hash_of
from postclock.store.registers import Accounts
from tests.support.slow_api import SlowApi, bearer


async def asked(api: SlowApi, headers: dict[str, str]) -> tuple[int, object]:
    answer = await api.client.get("/v3/scopes", headers=headers)
    return answer.status_code, answer.json().get("detail")


async def test_no_credential_is_told_so(api: SlowApi) -> None:
    """Without the header 401 says that it is missing, and how one authenticates."""
    answer = await api.client.get("/v3/scopes")
    assert (answer.status_code, answer.json()) == (401, {"detail": "Missing Authorization header"})
    assert answer.headers["WWW-Authenticate"] == "Bearer"


@pytest.mark.parametrize(
    "value",
    [
        "Bearer",
        "Bearer sg_live_",
        "Bearer nonsense",
        "Basic c2c6c2c=",
        "Bearer sg_live_" + "0" * 32,
        "Bearer sg_live_" + "0" * 33,
        "Bearer sg_live_" + "G" * 32,
        "Bearer " + "x" * 100_000,
        "sg_live_" + "0" * 32,
    ],
)
async def test_what_is_no_key_of_ours_is_invalid(api: SlowApi, value: str) -> None:
    """Unknown, mistyped and malformed credentials are told alike."""
    assert await asked(api, {"Authorization": value}) == (401, "Invalid API key")


async def test_two_credentials_are_none(api: SlowApi) -> None:
    """Which of them would count is anybody's guess, so neither does."""
    good = (await api.headers())["Authorization"]
    answer = await api.client.get("/v3/scopes", headers=[("Authorization", good), ("Authorization", good)])
    assert answer.status_code == 401


async def test_the_scheme_is_read_in_any_case(api: SlowApi) -> None:
    """RFC 9110 11.1: the scheme's name is case-insensitive; the key is not."""
    secret = (await api.key()).secret
    assert (await asked(api, {"Authorization": f"bearer {secret}"}))[0] == 200
    assert (await asked(api, {"Authorization": f"Bearer {secret.upper()}"}))[0] == 401


async def test_a_suspended_tenant_is_refused_and_resumed(api: SlowApi) -> None:
    """Suspension is felt at once by keys that were remembered, and so is the end of it."""
    headers = await api.headers()
    assert (await asked(api, headers))[0] == 200
    await api.tenants.suspend("default")
    assert await asked(api, headers) == (403, "Tenant is suspended")
    await api.tenants.resume("default")
    assert (await asked(api, headers))[0] == 200


async def test_a_key_revoked_elsewhere_stops_within_a_second(api: SlowApi) -> None:
    """Another process revokes behind this one's back: what was remembered holds for less than a second."""
    made = await api.key()
    assert (await asked(api, bearer(made)))[0] == 200
    await api.store.accounts.revoke_key(None, made.key.id, api.clock.now_ms())
    assert (await asked(api, bearer(made)))[0] == 200
    api.clock.move(0.99)
    assert await asked(api, bearer(made)) == (401, "Invalid API key")


async def test_a_key_that_was_not_there_works_once_it_is(api: SlowApi) -> None:
    """A refusal is not remembered."""
    made = await api.key()
    secret = "sg_live_" + "5" * 32
    header = {"Authorization": f"Bearer {secret}"}
    assert (await asked(api, header))[0] == 401
    await api.store.accounts.replace_secret(api.tenant.id, made.key.id, hash_of(secret), secret[:16])
    assert (await asked(api, header))[0] == 200


async def test_the_quick_way_knows_only_whom_it_has_seen(api: SlowApi) -> None:
    """cached answers without I/O: None at first, then the principal, None again when it is stale; never for no credential."""
    authorization = bearer(await api.key())["Authorization"]
    assert api.authenticator.cached(authorization) is None
    found = await api.authenticator.authenticate(authorization)
    assert api.authenticator.cached(authorization) is found
    api.clock.move(0.9)
    assert api.authenticator.cached(authorization) is None
    for missing in (None, ""):
        with pytest.raises(Unauthorized, match="Missing Authorization header"):
            api.authenticator.cached(missing)


async def test_when_a_key_was_used_is_written_in_batches(api: SlowApi) -> None:
    """Nothing is written per call; a flush writes the latest use of every key."""
    made = await api.key()
    await asked(api, bearer(made))
    api.clock.move(30)
    await asked(api, bearer(made))
    assert (await api.store.accounts.key(api.tenant.id, made.key.id)).last_used_at is None
    await api.authenticator.flush_used()
    assert (await api.store.accounts.key(api.tenant.id, made.key.id)).last_used_at == api.clock.now_ms()
    answer = await api.client.get("/v3/api_keys", headers=bearer(made))
    assert answer.json()["api_keys"][0]["last_used_at"] == "2027-01-15T08:00:30Z"


class _Odd:
    """Accounts whose look-up waits for the test, and whose writing may be busy; the rest is the store's."""

    def __init__(self, inner: Accounts) -> None:
        self._inner = inner
        self.gate = asyncio.Event()
        self.gate.set()
        self.looking = asyncio.Event()
        self.busy = False
        self.written: list[dict[int, int]] = []
        self.looks = 0

    async def find_key(self, secret_hash: bytes) -> tuple[ApiKey, Tenant] | None:
        self.looks += 1
        if self.busy:
            raise Busy("full")
        found = await self._inner.find_key(secret_hash)
        self.looking.set()
        await self.gate.wait()
        return found

    async def used_keys(self, used: Mapping[int, int]) -> None:
        if self.busy:
            raise Busy("full")
        self.written.append(dict(used))


async def test_uses_that_could_not_be_written_wait(api: SlowApi) -> None:
    """When the store is busy a flush keeps what it has for the next one."""
    odd = _Odd(api.store.accounts)
    authenticator = Authenticator(odd, api.clock)  # type: ignore[arg-type]  # the two calls it makes
    made = await api.key()
    await authenticator.authenticate(bearer(made)["Authorization"])
    odd.busy = True
    await authenticator.flush_used()
    odd.busy = False
    await authenticator.flush_used()
    await authenticator.flush_used()
    assert odd.written == [{made.key.id: api.clock.now_ms()}]


async def test_an_answer_older_than_a_revocation_is_not_remembered(api: SlowApi) -> None:
    """A look-up that overlaps a change may have read the state before it, so it counts for its own call alone."""
    odd = _Odd(api.store.accounts)
    authenticator = Authenticator(odd, api.clock)  # type: ignore[arg-type]  # the two calls it makes
    authorization = bearer(await api.key())["Authorization"]
    odd.gate.clear()
    asking = asyncio.create_task(authenticator.authenticate(authorization))
    await odd.looking.wait()
    authenticator.forget()
    odd.gate.set()
    await asking
    assert authenticator.cached(authorization) is None


async def test_all_who_ask_for_a_key_at_once_share_one_look_up(api: SlowApi) -> None:
    """A busy key is forgotten in one moment for all of its callers; one of them may leave, also the one who asks."""
    odd = _Odd(api.store.accounts)
    authenticator = Authenticator(odd, api.clock)  # type: ignore[arg-type]  # the two calls it makes
    authorization = bearer(await api.key())["Authorization"]
    odd.gate.clear()
    first, second, *others = (asyncio.create_task(authenticator.authenticate(authorization)) for _ in range(20))
    await odd.looking.wait()
    second.cancel()
    await asyncio.wait((second,))
    assert odd.looks == 1
    first.cancel()
    await asyncio.wait((first,))
    odd.gate.set()
    assert len({principal.key.id for principal in await asyncio.gather(*others)}) == 1
    assert odd.looks == 2


async def test_a_look_up_that_fails_fails_for_all_who_wait_for_it(api: SlowApi) -> None:
    """And the next one asks anew."""
    odd = _Odd(api.store.accounts)
    authenticator = Authenticator(odd, api.clock)  # type: ignore[arg-type]  # the two calls it makes
    authorization = bearer(await api.key())["Authorization"]
    odd.busy = True
    told = await asyncio.gather(*(authenticator.authenticate(authorization) for _ in range(3)), return_exceptions=True)
    assert [type(answer) for answer in told] == [Busy] * 3
    odd.busy = False
    assert (await authenticator.authenticate(authorization)).key.id


async def test_memory_is_bounded(api: SlowApi, monkeypatch: pytest.MonkeyPatch) -> None:
    """However many keys come, so many are remembered at most."""
    assert MAX_REMEMBERED == 10_000
    monkeypatch.setattr("postclock.service.principal.MAX_REMEMBERED", 3)
    for _ in range(7):
        await api.authenticator.authenticate(bearer(await api.key())["Authorization"])
        assert len(api.authenticator._remembered) <= 3
