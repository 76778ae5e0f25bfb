"""Large bodies where small ones are meant: they cost their sender an answer, and nobody else any time."""

import threading
from typing import Any, TypeVar

import pytest

from postclock.api import endpoint
from postclock.api.shape import THREAD_FROM, decode
from postclock.service.accounts import MAX_SCOPES
from tests.support.slow_api import SlowApi

T = TypeVar("T")


async def test_a_list_of_scopes_has_an_end(api: SlowApi) -> None:
    """One error for the whole list, not one for each of a hundred thousand: when a key is made and when it is changed."""
    headers = await api.headers()
    scopes = ["nonsense"] * 100_000
    made = await api.client.post("/v3/api_keys", headers=headers, json={"name": "a", "scopes": scopes})
    [key] = (await api.client.get("/v3/api_keys", headers=headers)).json()["api_keys"]
    changed = await api.client.patch(f"/v3/api_keys/{key['id']}", headers=headers, json={"scopes": scopes})
    for answer in (made, changed):
        assert answer.status_code == 400
        assert answer.json()["detail"] == [
            {"loc": ["scopes"], "msg": f"At most {MAX_SCOPES} scopes are taken.", "type": "value_error"}
        ]


async def test_a_large_body_is_decoded_in_a_thread(api: SlowApi, monkeypatch: pytest.MonkeyPatch) -> None:
    """The loop that serves everybody decodes small bodies alone; the answers are the same."""
    where: list[int] = []

    def noted(body: bytes, shape: type[T], *, empty_list_is_absent: bool) -> T:
        where.append(threading.get_ident())
        return decode(body, shape, empty_list_is_absent=empty_list_is_absent)

    monkeypatch.setattr(endpoint, "decode", noted)
    headers = await api.headers()
    unknown: dict[str, Any] = {"x": "y" * THREAD_FROM}
    small = await api.client.post("/v3/templates", headers=headers, json={"name": "small"})
    large = await api.client.post("/v3/templates", headers=headers, json={"name": "large", **unknown})
    wrong = await api.client.post("/v3/templates", headers=headers, json={"name": 5, **unknown})
    assert [a.status_code for a in (small, large, wrong)] == [201, 201, 400]
    assert large.json()["name"] == "large"
    assert wrong.json()["detail"][0]["loc"] == ["name"]
    loop = threading.get_ident()
    assert [ident == loop for ident in where] == [True, False, False]
