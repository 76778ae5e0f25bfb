"""Nothing that several owners, callers and people do in any order breaks a promise, whoever freezes wherever.

POSTCLOCK_FENCE_EXAMPLES sets how many examples each store gets, of 50 steps each and with what fails made short: for a long run.
"""

import os
from typing import Final

import pytest
from hypothesis import HealthCheck, Phase, settings
from hypothesis.stateful import run_state_machine_as_test

from tests.store.fence import Fence
from tests.store.fence_houses import Build, PostgresHouse, SqliteHouse

MANY: Final = os.environ.get("POSTCLOCK_FENCE_EXAMPLES")
EXAMPLES: Final = {"sqlite": 50, "postgres": 15}
"""Each some 20 seconds."""
STEPS: Final = 20
PHASES: Final = (Phase.explicit, Phase.generate, *((Phase.shrink,) if MANY else ()))
"""Steps at once do not repeat exactly, so that to make a failure short takes long: it is left to the long run."""


def _house(backend: str, request: pytest.FixtureRequest) -> Build:
    if backend == "sqlite":
        return SqliteHouse
    dsn: str = request.getfixturevalue("postgres_database")
    return lambda clock: PostgresHouse(dsn, clock)


@pytest.mark.timeout(0 if MANY else 300)
@pytest.mark.parametrize("backend", sorted(EXAMPLES))
def test_every_promise_is_kept(backend: str, request: pytest.FixtureRequest) -> None:
    """Random steps, alone and at once; after each the tables are compared with everything that was ever answered."""
    house = _house(backend, request)
    chosen = settings(
        max_examples=int(MANY or EXAMPLES[backend]),
        stateful_step_count=50 if MANY else STEPS,
        phases=PHASES,
        deadline=None,
        database=None,
        suppress_health_check=list(HealthCheck),
        print_blob=False,
    )
    run_state_machine_as_test(lambda: Fence(house), settings=chosen)  # type: ignore[arg-type]  # any factory will do
