"""POST /v1/validate (Sendara's documentation, validation)."""

from collections.abc import AsyncIterator
from pathlib import Path

import pytest

from postclock.api.sendara.validate import MAX_EMAIL, validate_endpoints
from postclock.courier.resolver import DnsUnavailable
from postclock.service.validate import Validation
from tests.support.clock import MovedClock
from tests.support.slow_api import SlowApi, slow_api


class Zone:
    """What the DNS has."""

    configured = True

    async def is_configured(self) -> bool:
        return self.configured

    async def mx(self, name: str) -> list[str]:
        return {"good.org": ["mx.good.org"], "null.org": [""]}.get(name, [])

    async def has_address(self, name: str) -> bool:
        return False


@pytest.fixture
def zone() -> Zone:
    """The DNS."""
    return Zone()


@pytest.fixture
async def api(tmp_path: Path, zone: Zone) -> AsyncIterator[SlowApi]:
    """The real app over a fresh store."""
    endpoints = validate_endpoints(Validation(zone, MovedClock(), DnsUnavailable))
    async with slow_api(tmp_path, more=endpoints) as running:
        yield running


@pytest.mark.parametrize(
    ("email", "valid", "reason"),
    [
        ("ada@good.org", True, ""),
        ("ada", False, "invalid email syntax"),
        ("ada@bad.org", False, "domain cannot receive email (no MX or A record)"),
        ("ada@null.org", False, "domain does not accept email (null MX)"),
    ],
)
async def test_the_verdict(api: SlowApi, email: str, valid: bool, reason: str) -> None:
    """200 in every case: the address, whether it can get mail, and why not."""
    answer = await api.client.post("/v1/validate", json={"email": email}, headers=await api.headers())
    assert answer.status_code == 200
    assert answer.json() == {"email": email, "valid": valid, "reason": reason}
    assert "X-RateLimit-Remaining" in answer.headers


@pytest.mark.parametrize("body", [{}, {"email": None}, {"email": 5}, {"email": "x" * (MAX_EMAIL + 1)}, []])
async def test_what_is_no_question(api: SlowApi, body: object) -> None:
    """400 invalid_request."""
    answer = await api.client.post("/v1/validate", json=body, headers=await api.headers())
    assert (answer.status_code, answer.json()["error"]["code"]) == (400, "invalid_request")


async def test_without_a_resolver(api: SlowApi, zone: Zone) -> None:
    """503 validation_not_configured."""
    zone.configured = False
    answer = await api.client.post("/v1/validate", json={"email": "ada@good.org"}, headers=await api.headers())
    assert (answer.status_code, answer.json()["error"]["code"]) == (503, "validation_not_configured")


async def test_it_takes_the_right_to_send(api: SlowApi) -> None:
    """403 forbidden without it."""
    headers = await api.headers(["messages.read"])
    answer = await api.client.post("/v1/validate", json={"email": "ada@good.org"}, headers=headers)
    assert (answer.status_code, answer.json()["error"]["code"]) == (403, "forbidden")
