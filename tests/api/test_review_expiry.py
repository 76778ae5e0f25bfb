"""When a key ends, at the end of the calendar."""

import pytest

from postclock.service.moments import moment_ms
from tests.support.slow_api import SlowApi


@pytest.mark.parametrize("text", ["9999-12-31T23:59:59-12:00", "10000-01-01T00:00:00Z"])
async def test_an_end_that_could_never_be_shown_is_refused(api: SlowApi, text: str) -> None:
    """It is 400 and names the field; no key is made, and the list of keys is still shown."""
    headers = await api.headers()
    before = (await api.client.get("/v3/api_keys", headers=headers)).json()
    answer = await api.client.post("/v3/api_keys", headers=headers, json={"name": "late", "expires_at": text})
    assert answer.status_code == 400, answer.text
    assert answer.json()["detail"][0]["loc"] == ["expires_at"]
    listed = await api.client.get("/v3/api_keys", headers=headers)
    assert listed.status_code == 200
    assert [k["id"] for k in listed.json()["api_keys"]] == [k["id"] for k in before["api_keys"]]


async def test_the_last_second_there_is_may_be_an_end(api: SlowApi) -> None:
    """What can be shown is taken."""
    text = "9999-12-31T23:59:59Z"
    answer = await api.client.post(
        "/v3/api_keys", headers=await api.headers(), json={"name": "long", "expires_at": text}
    )
    assert (answer.status_code, answer.json()["expires_at"]) == (201, text)


def test_a_moment_is_read_with_and_without_an_offset() -> None:
    """Milliseconds in UTC; without an offset it is UTC."""
    assert moment_ms("1970-01-01T01:00:00.500+01:00") == 500
    assert moment_ms("1970-01-02") == 86_400_000
    assert moment_ms("tomorrow") is None
