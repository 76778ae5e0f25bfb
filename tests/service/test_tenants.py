"""Settings of a tenant, as an operator writes them: key=value."""

from collections.abc import AsyncIterator
from pathlib import Path

import pytest

from postclock.core.account import TenantSettings
from postclock.core.errors import Conflict, Invalid, NotFound
from postclock.service.tenants import Tenants, with_assignments
from tests.support.slow_api import slow_api


def test_each_setting_can_be_set() -> None:
    """Words, numbers, switches and addresses are read from text."""
    settings = with_assignments(
        TenantSettings(),
        [
            "uncertain=hold",
            "rate_sends=5",
            " rate_requests = 7 ",
            "open_tracking=on",
            "click_tracking=TRUE",
            "click_text=1",
            "default_from=hello@example.com",
        ],
    )
    assert settings == TenantSettings(
        uncertain="hold",
        rate_sends=5,
        rate_requests=7,
        open_tracking=True,
        click_tracking=True,
        click_text=True,
        default_from="hello@example.com",
    )
    assert with_assignments(settings, ["default_from=", "open_tracking=no"]).default_from == ""


@pytest.mark.parametrize(
    ("assignment", "told"),
    [
        ("rate_sends", "not of the form key=value"),
        ("rate=5", "there are: uncertain, rate_sends"),
        ("rate_sends=0", "a whole number from 1 to 1000000"),
        ("rate_sends=1000001", "a whole number"),
        ("rate_sends=many", "a whole number"),
        ("rate_sends=²", "a whole number"),
        ("open_tracking=perhaps", "true or false"),
        ("uncertain=guess", "one of resend, hold, assume_sent"),
        ("default_from=nobody", "is not an email address"),
    ],
)
def test_a_bad_assignment_says_what_is_wrong(assignment: str, told: str) -> None:
    """The message names the setting and what it takes."""
    with pytest.raises(Invalid) as refused:
        with_assignments(TenantSettings(), [assignment])
    assert told in str(refused.value)
    assert refused.value.errors[0].field == assignment.partition("=")[0]


def test_all_bad_assignments_are_told_at_once() -> None:
    """Two bad ones give two errors, and nothing is applied."""
    with pytest.raises(Invalid) as refused:
        with_assignments(TenantSettings(), ["rate_sends=0", "x=1", "open_tracking=on"])
    assert [error.field for error in refused.value.errors] == ["rate_sends", "x"]


@pytest.fixture
async def tenants(tmp_path: Path) -> AsyncIterator[Tenants]:
    """The operator's service over a fresh store."""
    async with slow_api(tmp_path) as api:
        yield api.tenants


async def test_a_tenant_is_made_suspended_resumed_and_set(tenants: Tenants) -> None:
    """Every step is kept, and an unknown name is not there."""
    made = await tenants.create("acme")
    assert (made.name, made.suspended, made.settings) == ("acme", False, TenantSettings())
    assert (await tenants.suspend("acme")).suspended
    assert not (await tenants.resume("acme")).suspended
    await tenants.set("acme", ["rate_sends=5"])
    changed = await tenants.set("acme", ["open_tracking=on"])
    assert changed.settings == TenantSettings(rate_sends=5, open_tracking=True)
    assert changed.revision > made.revision
    assert [tenant.name for tenant in await tenants.all()] == ["default", "acme"]
    for call in (tenants.named, tenants.suspend, tenants.resume):
        with pytest.raises(NotFound):
            await call("nobody")


async def test_a_name_is_printable_and_free(tenants: Tenants) -> None:
    """Names stand in commands and lists: none is empty, endless, padded or a second one."""
    for name in ("", " acme", "acme\n", "x" * 101):
        with pytest.raises(Invalid):
            await tenants.create(name)
    with pytest.raises(Conflict):
        await tenants.create("default")
