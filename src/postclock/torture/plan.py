"""The plan of pains: made from the seed alone, so that a run can be made again with the same blows in the same order."""

from dataclasses import dataclass
from random import Random
from typing import Final, Literal

from postclock.engine.points import POINTS
from postclock.torture.sink import STAGES, Act, Mood, Stage

Kind = Literal[
    "kill", "kill at", "terminate", "freeze", "clock ahead", "clock back", "disk full", "database outage", "connections cut", "commit answers lost"
]  # fmt: skip

HOUR_MS: Final = 3_600_000
FREEZE_FROM_SECONDS: Final = 60.0
"""Shorter runs do without freezes: one takes up to 15 s, because an owner counts as dead after 10."""
LONG_OUTAGE_FROM_SECONDS: Final = 180.0
COST: Final[dict[Kind, float]] = {
    "kill": 3.0,
    "kill at": 4.5,
    "terminate": 3.5,
    "connections cut": 2.0,
    "commit answers lost": 3.5,
}
"""Seconds that a pain without a length of its own takes, recovery included; only the plan's length depends on it."""
DATABASE_KINDS: Final[tuple[Kind, ...]] = ("connections cut", "commit answers lost")


@dataclass(frozen=True, slots=True, kw_only=True)
class Pain:
    """One blow. ``calm`` seconds pass before it; ``seconds`` is how long it lasts, where it lasts."""

    kind: Kind
    calm: float
    seconds: float = 0.0
    point: str = ""


@dataclass(frozen=True, slots=True, kw_only=True)
class SinkPain:
    """The sink misbehaves for ``seconds``; without a mood it is wholly gone."""

    mood: Mood | None
    calm: float
    seconds: float


def dice_of(seed: int, purpose: str) -> Random:
    """Chance for one purpose of a run: what one part draws does not change what another gets."""
    return Random(f"{seed} {purpose}")  # noqa: S311  (has to be repeatable, keeps no secret)


def plan(dice: Random, seconds: float, *, database: bool) -> list[Pain]:
    """Blows at the processes (and the database) that fill so many seconds, in their order."""
    found: list[Pain] = []
    left = seconds

    def add(kind: Kind, length: float = 0.0, point: str = "") -> None:
        nonlocal left
        pain = Pain(kind=kind, calm=dice.uniform(0.3, 1.5), seconds=length, point=point)
        left -= pain.calm + (length + 1.0 if length else COST[kind])
        found.append(pain)

    if seconds >= FREEZE_FROM_SECONDS:
        for _ in range(max(1, int(seconds / 150))):
            add("freeze", dice.uniform(12.0, 15.0))
    stands = min(dice.uniform(15.0, 20.0), seconds / 8)
    for _ in range(max(1, int(seconds / 250))):
        add("clock ahead", stands)
        add("clock back", stands)
    for _ in range(max(1, int(seconds / 100))):
        add("disk full", min(dice.uniform(2.0, 5.0), seconds / 8))
        add("terminate")
    if database:
        for n in range(max(1, int(seconds / 60))):
            is_long = n == 0 and seconds >= LONG_OUTAGE_FROM_SECONDS
            add("database outage", 30.0 if is_long else dice.uniform(2.0, 6.0))
            for kind in DATABASE_KINDS:
                add(kind)
    points = list(POINTS)
    dice.shuffle(points)
    n = 0
    while left > 0:
        if n % 2:
            add("kill")
        else:
            add("kill at", point=points[n // 2 % len(points)])
        n += 1
    dice.shuffle(found)
    return found


def sink_plan(dice: Random, seconds: float) -> list[SinkPain]:
    """What the sink does meanwhile."""
    found: list[SinkPain] = []
    left = seconds
    gone_every = 12
    while left > 0:
        calm, lasts = dice.uniform(0.5, 2.5), dice.uniform(0.5, 2.0)
        is_gone = len(found) % gone_every == gone_every // 2
        mood = None if is_gone else _mood(dice)
        found.append(SinkPain(mood=mood, calm=calm, seconds=dice.uniform(1.0, 4.0) if is_gone else lasts))
        left -= found[-1].calm + found[-1].seconds
    return found


def _mood(dice: Random) -> Mood:
    stage: Stage = dice.choice(tuple(STAGES))
    act: Act = dice.choice(STAGES[stage])
    # A 4xx costs the mail a minute and a 5xx its life: fewer of them, or little would be left to judge.
    return Mood(stage=stage, act=act, chance=0.1 if act in ("4xx", "5xx") else dice.choice((0.2, 0.5, 1.0)))
