"""/v3/tracking_settings: what a tenant's mail is tracked for when the send does not say."""

from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import pytest

from postclock.api.scaisend.tracking_settings import tracking_setting_endpoints
from postclock.core.account import TenantSettings
from postclock.service.tenants import Tenants
from tests.support.slow_api import SlowApi, slow_api

BASE = "/v3/tracking_settings"


@pytest.fixture
async def here(tmp_path: Path) -> AsyncIterator[SlowApi]:
    """The API with these endpoints."""
    async with slow_api(
        tmp_path, built=lambda store, clock: tracking_setting_endpoints(Tenants(store.accounts, clock))
    ) as api:
        yield api


async def told(api: SlowApi, path: str = "", change: Any = None) -> Any:
    headers = await api.headers(["admin.settings"])
    if change is None:
        answer = await api.client.get(BASE + path, headers=headers)
    else:
        answer = await api.client.patch(BASE + path, headers=headers, json=change)
    assert answer.status_code == 200, answer.text
    return answer.json()


async def test_nothing_is_tracked_until_somebody_says_so(here: SlowApi) -> None:
    """Each setting alone, and all in a list."""
    assert await told(here, "/open") == {"enabled": False}
    assert await told(here, "/click") == {"enabled": False, "enable_text": False}
    assert {each["name"]: each["enabled"] for each in (await told(here))["result"]} == {"open": False, "click": False}


async def test_a_change_is_the_tenants_from_then_on(here: SlowApi) -> None:
    """What is left out stays; the operator's other settings do as well."""
    await here.tenants.set("default", ["rate_sends=5"])
    assert await told(here, "/open", {"enabled": True}) == {"enabled": True}
    assert await told(here, "/click", {"enable_text": True}) == {"enabled": False, "enable_text": True}
    assert await told(here, "/click", {"enabled": True}) == {"enabled": True, "enable_text": True}
    assert await told(here, "/open", {"enabled": None}) == {"enabled": True}
    assert {each["name"]: each["enabled"] for each in (await told(here))["result"]} == {"open": True, "click": True}
    settings = (await here.tenants.named("default")).settings
    assert settings == TenantSettings(rate_sends=5, open_tracking=True, click_tracking=True, click_text=True)


async def test_a_change_makes_mail_that_is_already_prepared_again(here: SlowApi) -> None:
    """The tenant's revision rises."""
    before = (await here.tenants.named("default")).revision
    await told(here, "/open", {"enabled": True})
    assert (await here.tenants.named("default")).revision > before


async def test_settings_need_their_scope(here: SlowApi) -> None:
    """admin.settings, to read and to change."""
    headers = await here.headers(["mail.send"])
    assert (await here.client.get(BASE + "/open", headers=headers)).status_code == 403
    assert (await here.client.patch(BASE + "/click", headers=headers, json={"enabled": True})).status_code == 403


async def test_a_word_is_no_switch(here: SlowApi) -> None:
    """Refused by the name of the field."""
    headers = await here.headers(["admin.settings"])
    answer = await here.client.patch(BASE + "/open", headers=headers, json={"enabled": "yes"})
    assert answer.status_code in (400, 422)
    assert "enabled" in answer.text
