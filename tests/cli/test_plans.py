"""postclock plans: what the operator has agreed on with each tenant."""

import pytest

from postclock.core.plan import MAX_INCLUDED, MAX_MICROS
from tests.cli.parts import Commands
from tests.support.process import run_postclock

NOTHING = {"included": None, "price_micros": None, "soft_limit_micros": None, "hard_limit_micros": None}


def test_nobody_has_a_plan_until_one_is_set(commands: Commands) -> None:
    """Then everything is sent, and nothing costs."""
    assert commands.json("plans", "show", "default") == {"tenant": "default"} | NOTHING
    assert commands.json("plans", "list") == {"plans": [{"tenant": "default"} | NOTHING]}
    assert commands.says("plans", "show", "default") == (
        "default: included=none price_micros=none soft_limit_micros=none hard_limit_micros=none\n"
    )


def test_a_plan_is_set_changed_and_cleared(commands: Commands) -> None:
    """What is not named stays; a tenant's other settings and its suspension stay as well."""
    commands.json("tenants", "create", "acme")
    commands.json("tenants", "set", "acme", "uncertain=hold")
    commands.json("tenants", "suspend", "acme")
    said = commands.json("plans", "set", "acme", "included=1000", "price=400", "soft_cap=5000", "hard_cap=9000")
    wanted = {"included": 1000, "price_micros": 400, "soft_limit_micros": 5000, "hard_limit_micros": 9000}
    assert said == {"tenant": "acme"} | wanted
    assert commands.json("plans", "set", "acme", "soft_cap=none", "included = 0") == {"tenant": "acme"} | wanted | {
        "included": 0,
        "soft_limit_micros": None,
    }
    assert [p["tenant"] for p in commands.json("plans", "list")["plans"]] == ["default", "acme"]
    assert "acme" in commands.says("plans", "list")
    acme = commands.json("tenants", "list")["tenants"][1]
    assert (acme["status"], acme["settings"]["uncertain"]) == ("suspended", "hold")
    assert "spending" not in acme["settings"]


@pytest.mark.parametrize(
    ("assignment", "told"),
    [
        ("included", "is not of the form key=value"),
        ("inclded=5", "Unknown part of a plan 'inclded'; there are: included, price, soft_cap, hard_cap"),
        ("price=-1", "price: must be none or a whole number"),
        ("price=4.5", "price: must be none or a whole number"),
        ("price=²", "price: must be none or a whole number"),
        ("price=", "price: must be none or a whole number"),
        (f"included={MAX_INCLUDED + 1}", f"from 0 to {MAX_INCLUDED}"),
        (f"hard_cap={MAX_MICROS + 1}", f"from 0 to {MAX_MICROS}"),
        (f"hard_cap={'9' * 5_000}", "hard_cap: must be none or a whole number"),
    ],
)
def test_a_bad_part_is_told_and_nothing_is_set(commands: Commands, assignment: str, told: str) -> None:
    """On stderr, with exit status 1."""
    assert told in commands.fails("plans", "set", "default", "price=400", assignment)
    assert commands.json("plans", "show", "default") == {"tenant": "default"} | NOTHING


def test_the_largest_values_are_taken(commands: Commands) -> None:
    """The bounds are inside."""
    said = commands.json("plans", "set", "default", f"included={MAX_INCLUDED}", f"price={MAX_MICROS}")
    assert (said["included"], said["price_micros"]) == (MAX_INCLUDED, MAX_MICROS)


@pytest.mark.parametrize("args", [("set", "nobody", "price=1"), ("show", "nobody")])
def test_an_unknown_tenant_is_named(commands: Commands, args: tuple[str, ...]) -> None:
    """With where to look."""
    assert commands.fails("plans", *args) == "there is no tenant 'nobody'; see `postclock tenants list`"


def test_a_plan_is_no_setting_of_tenants_set(commands: Commands) -> None:
    """It has a command of its own."""
    assert "Unknown setting 'spending'" in commands.fails("tenants", "set", "default", "spending=1")


def test_the_real_command_sets_a_plan(commands: Commands) -> None:
    """As a process of its own."""
    commands.json("tenants", "list")
    done = run_postclock("plans", "set", "default", "included=5", data=commands.data, env=commands.env)
    assert (done.returncode, done.stderr) == (0, "")
    assert commands.json("plans", "show", "default")["included"] == 5
    failed = run_postclock("plans", "set", "default", "included=some", data=commands.data, env=commands.env)
    assert (failed.returncode, failed.stdout) == (1, "")
    assert failed.stderr.startswith("postclock: included: ")
