"""postclock queue: what waits, and parked mail let go or failed."""

from postclock.core.lifecycle import State
from postclock.store.records import LIVE
from tests.cli.parts import Commands, park


def test_an_empty_queue_has_the_whole_shape(commands: Commands) -> None:
    """Scripts find every key."""
    assert commands.json("queue") == {
        "waiting": 0, "oldest_due": None, "parked": 0, "by_host": {}, "by_domain": {}, "by_tenant": {}, "by_reason": {},
    }  # fmt: skip


def test_what_waits_is_counted_by_host_domain_tenant_and_reason(commands: Commands) -> None:
    """Parked mail waits too, and a person sees which it is."""
    commands.json("tenants", "create", "acme")
    [first, *_] = park(commands, "default", "overdue after a restore", "ada@example.net", "bob@example.net")
    park(commands, "acme", "tenant suspended", "cyd@example.org")
    shape = commands.json("queue")
    assert (shape["waiting"], shape["parked"]) == (3, 3)
    assert shape["by_domain"] == {"example.net": 2, "example.org": 1}
    assert shape["by_tenant"] == {"default": 2, "acme": 1}
    assert shape["by_reason"] == {"overdue after a restore": 2, "tenant suspended": 1}
    assert shape["by_host"] == {"relay": 3}
    said = commands.says("queue")
    assert first.public in said
    assert "overdue after a restore" in said


def test_parked_mail_is_released_by_id(commands: Commands) -> None:
    """Only what was named; it is ready again, and no longer parked."""
    one, two = park(commands, "default", "held", "ada@example.net", "bob@example.net")
    assert commands.json("queue", "release", one.public) == {"released": 1}
    left = commands.store(lambda store: store.messages.parked(None, None))
    assert [row.id for row in left] == [two.row]
    shape = commands.json("queue")
    assert (shape["waiting"], shape["parked"]) == (2, 1)
    assert shape["oldest_due"] is not None
    assert commands.fails("queue", "release", one.public) == f"{one.public} is not parked"


def test_parked_mail_is_released_by_tenant_and_by_reason(commands: Commands) -> None:
    """The two narrow each other."""
    commands.json("tenants", "create", "acme")
    park(commands, "default", "held", "ada@example.net")
    park(commands, "acme", "held", "bob@example.net")
    park(commands, "acme", "stuck", "cyd@example.net")
    assert commands.json("queue", "release", "--tenant", "acme", "--reason", "held") == {"released": 1}
    assert commands.json("queue", "release", "--reason", "nothing like it") == {"released": 0}
    assert commands.json("queue", "release", "--tenant", "acme") == {"released": 1}
    assert commands.json("queue", "release", "--all") == {"released": 1}
    assert commands.json("queue")["parked"] == 0


def test_parked_mail_is_dropped(commands: Commands) -> None:
    """It settles as failed and says by whom."""
    one, two = park(commands, "default", "held", "ada@example.net", "bob@example.net")
    assert commands.json("queue", "drop", one.public, two.public) == {"dropped": 2}
    tenant = commands.store(lambda store: store.accounts.tenant_named("default"))
    found = commands.store(lambda store: store.messages.detail(tenant.id, LIVE, one.row))
    assert found.row.state is State.failed
    assert found.row.reason == "dropped by the operator"
    assert commands.json("queue")["waiting"] == 0


def test_an_id_that_is_none_changes_nothing(commands: Commands) -> None:
    """Not even for the good ones beside it."""
    [one] = park(commands, "default", "held", "ada@example.net")
    assert commands.fails("queue", "release", one.public, "msg_what") == "'msg_what' is no message id"
    assert commands.fails("queue", "drop", one.public, "--tenant", "nobody").startswith("there is no tenant 'nobody'")
    assert commands.json("queue")["parked"] == 1
