"""One of three engine processes is killed: the others take over what it held, and nothing is lost or told wrongly."""

import time
from contextlib import closing
from pathlib import Path

from postclock.core.lifecycle import State
from tests.end_to_end.parts import Caller, Ground, each_to, until
from tests.support.fleet import Fleet

ENV = {
    "POSTCLOCK_SETTLE_AFTER": "0s",
    "POSTCLOCK_FINAL_REPLY_TIMEOUT": "10s",
    "POSTCLOCK_UNCERTAIN_WAIT": "10s",
}
TAKEN_OVER_SECONDS = 15.0
"""What a dead process had not departed has departed by then."""


def test_a_killed_engines_mail_is_taken_over(tmp_path: Path, postgres_dsn: str) -> None:
    """What it had not departed departs within 15 s, the rest is told as uncertain; and nothing else comes twice."""
    with Fleet(tmp_path, postgres_dsn, engines=3, env=ENV) as fleet:
        api = fleet.apis[0]
        with closing(Caller(api.url, api.key())) as caller:
            here = Ground(api, fleet.sink, caller)
            fleet.sink.slow("dot", 1)
            batch = caller.batch()
            addresses = [f"flight{i}@example.com" for i in range(600)]
            idents = dict(zip(caller.send(each_to(addresses, batch_id=batch)), addresses, strict=True))

            def in_the_middle() -> list[int]:
                """Engines that hold mail of both kinds, some of which the sink has and has not answered for."""
                came = {m.rcpts[0] for m in tuple(fleet.sink.mails)}
                holds = {o: len(fleet.held(o, State.processing)) for o in fleet.owners}
                return [o for o, n in holds.items() if n > 30 and len(came & fleet.held(o, State.sending)) > 5]

            [owner, *_] = until(in_the_middle)
            assert fleet.owners[owner].kill() == -9
            killed_at = time.monotonic()
            fleet.sink.slow("dot", 0)
            undeparted, departed = fleet.held(owner, State.processing), fleet.held(owner, State.sending)
            assert undeparted
            assert departed
            here.wait_for_all(sorted(undeparted), killed_at + TAKEN_OVER_SECONDS - time.monotonic())
            caller.batch_settles(batch, len(addresses))
            told = {idents[m["id"]]: caller.events(m["id"]) for m in caller.all_messages(batch_id=batch)}
            assert set(told) == set(addresses)
            uncertain = {address for address, events in told.items() if "uncertain" in events}
            assert uncertain == departed
            for address, events in told.items():
                came = here.came_to(address)
                assert len({m.content for m in came}) == 1, "a mail that is sent again is the same, octet by octet"
                assert len(came) <= 1 + events.count("uncertain"), f"{address} came {len(came)} times: {events}"
            assert any(len(here.came_to(address)) == 2 for address in uncertain), "the sink had some when it was killed"
            for address in undeparted:
                assert told[address] == ["processed", "delivered"]
