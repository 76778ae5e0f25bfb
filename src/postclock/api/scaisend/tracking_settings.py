"""/v3/tracking_settings: a tenant's defaults for open and click tracking (SendGrid's v3 API, tracking settings)."""

from typing import Final

import msgspec

from postclock.api.endpoint import Call, Endpoint, Reply
from postclock.core.account import Scope, TenantSettings
from postclock.service.tenants import Tenants

BASE: Final = "/v3/tracking_settings"


class TrackingSetting(msgspec.Struct, frozen=True, kw_only=True):
    """One setting in the list."""

    name: str
    title: str
    description: str
    enabled: bool


class TrackingSettings(msgspec.Struct, frozen=True, kw_only=True):
    """All of them."""

    result: list[TrackingSetting]


class OpenSetting(msgspec.Struct, frozen=True, kw_only=True):
    """Open tracking."""

    enabled: bool


class OpenChange(msgspec.Struct, frozen=True, kw_only=True):
    """What to change; what is left out stays."""

    enabled: bool | None = None


class ClickSetting(msgspec.Struct, frozen=True, kw_only=True):
    """Click tracking; ``enable_text``: in the plain text as well."""

    enabled: bool
    enable_text: bool


class ClickChange(msgspec.Struct, frozen=True, kw_only=True):
    """What to change; what is left out stays."""

    enabled: bool | None = None
    enable_text: bool | None = None


def tracking_setting_endpoints(tenants: Tenants) -> tuple[Endpoint, ...]:
    """The endpoints over one service."""

    async def settings(call: Call) -> TenantSettings:
        return (await tenants.named(call.principal.tenant.name)).settings

    async def every(call: Call) -> Reply:
        now = await settings(call)
        clicks = TrackingSetting(
            name="click", title="Click Tracking", description="Links lead by way of us.", enabled=now.click_tracking
        )
        opens = TrackingSetting(
            name="open", title="Open Tracking", description="HTML gets an invisible image.", enabled=now.open_tracking
        )
        return Reply(TrackingSettings(result=[clicks, opens]))

    async def opens(call: Call) -> Reply:
        return Reply(_opens(await settings(call)))

    async def clicks(call: Call) -> Reply:
        return Reply(_clicks(await settings(call)))

    async def change_opens(call: Call) -> Reply:
        asked = call.body(OpenChange)
        return Reply(_opens((await tenants.track(call.principal.tenant, opens=asked.enabled)).settings))

    async def change_clicks(call: Call) -> Reply:
        asked = call.body(ClickChange)
        changed = await tenants.track(call.principal.tenant, clicks=asked.enabled, text=asked.enable_text)
        return Reply(_clicks(changed.settings))

    scopes = (Scope.admin_settings,)
    return (
        Endpoint(method="GET", path=BASE, summary="Tracking settings", answer=every, scopes=scopes, gives=TrackingSettings),
        Endpoint(method="GET", path=BASE + "/open", summary="Open tracking by default", answer=opens, scopes=scopes, gives=OpenSetting),
        Endpoint(
            method="PATCH", path=BASE + "/open", summary="Change open tracking by default", answer=change_opens, scopes=scopes, takes=OpenChange,
            gives=OpenSetting, refuses=(400,),
        ),
        Endpoint(method="GET", path=BASE + "/click", summary="Click tracking by default", answer=clicks, scopes=scopes, gives=ClickSetting),
        Endpoint(
            method="PATCH", path=BASE + "/click", summary="Change click tracking by default", answer=change_clicks, scopes=scopes, takes=ClickChange,
            gives=ClickSetting, refuses=(400,),
        ),
    )  # fmt: skip


def _opens(settings: TenantSettings) -> OpenSetting:
    return OpenSetting(enabled=settings.open_tracking)


def _clicks(settings: TenantSettings) -> ClickSetting:
    return ClickSetting(enabled=settings.click_tracking, enable_text=settings.click_text)
