"""A final dot of a domain says nothing: with it an address is the same address, on every list and on the wire."""

import pytest

from postclock.core.address import compared, on_the_wire, problem
from tests.support.slow_api import SlowApi


@pytest.mark.parametrize("email", ["Ada@Example.com.", "Ada@Example.com..", "Ada@example.com"])
def test_the_dot_is_neither_compared_nor_sent(email: str) -> None:
    """Else a suppressed address would be reached by writing a dot behind it, and a relay would refuse the path."""
    assert problem(email) is None
    assert compared(email) == "ada@example.com"
    assert on_the_wire(email).lower() == "ada@example.com"
    assert on_the_wire(email).startswith("Ada@")


async def test_a_suppressed_address_is_found_with_and_without_its_dot(api: SlowApi) -> None:
    """Both spellings are one entry of the bounce list."""
    headers = await api.headers()
    for email in ("ada@example.com.", "ada@example.com"):
        answer = await api.client.post("/v3/suppression/bounces", headers=headers, json={"email": email})
        assert answer.status_code == 201
        assert answer.json()["email"] == "ada@example.com"
    assert (await api.client.get("/v3/suppression/bounces", headers=headers)).json()["total"] == 1
    assert (await api.client.get("/v3/suppression/bounces/ada@example.com.", headers=headers)).status_code == 200


async def test_a_path_longer_than_any_address_finds_nothing(api: SlowApi) -> None:
    """It is 404, and is not taken apart to find that out."""
    email = "a@" + "ä" * 3_000
    answer = await api.client.get(f"/v3/suppression/bounces/{email}", headers=await api.headers())
    assert (answer.status_code, answer.json()) == (404, {"detail": "Bounce not found"})
