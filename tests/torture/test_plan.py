"""The plan: the same seed deals the same blows, and every kind of blow is dealt."""

from postclock.engine.points import POINTS
from postclock.torture.plan import DATABASE_KINDS, dice_of, plan, sink_plan
from postclock.torture.sink import STAGES


def test_a_seed_is_a_plan() -> None:
    """Made twice, it is the same; another seed makes another."""
    made = [plan(dice_of(seed, "plan"), 300, database=True) for seed in (7, 7, 8)]
    assert made[0] == made[1] != made[2]
    sinks = [sink_plan(dice_of(seed, "plan"), 300) for seed in (7, 7, 8)]
    assert sinks[0] == sinks[1] != sinks[2]


def test_five_minutes_have_everything() -> None:
    """More than fifty kills, every point, freezes of more than 10 s, jumps both ways, a full disk, a stop."""
    pains = plan(dice_of(1, "plan"), 300, database=False)
    kinds = [p.kind for p in pains]
    assert kinds.count("kill") + 2 * kinds.count("kill at") > 50
    assert {p.point for p in pains if p.kind == "kill at"} == set(POINTS)
    assert {"freeze", "clock ahead", "clock back", "disk full", "terminate"} <= set(kinds)
    assert all(p.seconds > 10 for p in pains if p.kind in ("freeze", "clock ahead", "clock back"))
    assert not {*DATABASE_KINDS, "database outage"} & set(kinds)


def test_a_database_is_hurt_as_well() -> None:
    """Outages (one of half a minute in a long run), cuts, lost answers to COMMIT."""
    pains = plan(dice_of(1, "plan"), 300, database=True)
    assert {*DATABASE_KINDS, "database outage"} <= {p.kind for p in pains}
    assert max(p.seconds for p in pains if p.kind == "database outage") == 30


def test_the_sink_dies_in_every_phase() -> None:
    """Over a long run every act at every stage comes, and it is wholly gone now and then."""
    pains = sink_plan(dice_of(1, "plan"), 3_600)
    came = {(p.mood.stage, p.mood.act) for p in pains if p.mood is not None}
    assert came == {(stage, act) for stage, acts in STAGES.items() for act in acts}
    assert any(p.mood is None for p in pains)


def test_a_short_run_is_hurt_too() -> None:
    """Half a minute has kills, jumps and a full disk, and no freeze."""
    kinds = {p.kind for p in plan(dice_of(7, "plan"), 24, database=False)}
    assert {"kill", "kill at", "clock ahead", "clock back", "disk full"} <= kinds
    assert "freeze" not in kinds
