"""An engine process that is frozen for longer than others wait: it loses its life, and only what it had sent still counts."""

from contextlib import closing
from pathlib import Path

from postclock.core.lifecycle import State
from tests.end_to_end.parts import SETTLE_AT_ONCE, Caller, Ground, each_to, mail, until
from tests.support.fleet import Fleet

DEATH_SECONDS = 30.0
"""Seen after 12 s at the latest, on a busy machine too."""


def test_a_frozen_engine_that_wakes_has_lost_its_life(tmp_path: Path, postgres_dsn: str) -> None:
    """What it had claimed goes to the other; it wakes, departs nothing, brings its late result and ends with one line.

    So does an API process that was frozen beside it.
    """
    with Fleet(tmp_path, postgres_dsn, apis=2, engines=1, env=SETTLE_AT_ONCE) as fleet:
        [api, other_api], [sleeper] = fleet.apis, fleet.engines
        owner = fleet.owner_of(sleeper)
        with closing(Caller(api.url, api.key())) as caller:
            here = Ground(api, fleet.sink, caller)
            at_dot = fleet.sink.hold("dot")
            [sent] = caller.send(mail("sent@example.com"))
            at_dot.wait()
            at_mail = fleet.sink.hold("mail")
            addresses = [f"claimed{i}@example.com" for i in range(300)]
            idents = dict(zip(addresses, caller.send(each_to(addresses)), strict=True))
            at_mail.wait()
            until(lambda: len(fleet.held(owner, State.processing, State.sending)) == 301)
            sleeper.freeze()
            other_api.freeze()
            claimed = fleet.held(owner, State.processing)
            departed = fleet.held(owner, State.sending) - {"sent@example.com"}
            assert len(claimed) > 30
            assert departed
            other = fleet.add_engine()
            until(lambda: other.log.count("declared dead") == 2, DEATH_SECONDS)
            until(lambda: caller.events(sent) == ["processed", "uncertain"])
            at_mail.release()  # what the sleeper reads when it wakes
            at_dot.release()
            here.wait_for_all(sorted(claimed))
            assert caller.events(sent) == ["processed", "uncertain"]
            taker = fleet.owner_of(other)
            until(lambda: fleet.rows("SELECT count(*) FROM queue WHERE owner = $1", taker) == [(0,)])
            other.freeze()  # for a moment: what is ready now is there for the sleeper alone
            [fresh] = caller.send(mail("fresh@example.com"))
            for member in (sleeper, other_api):
                member.thaw()
                assert member.wait() == 1
                [told] = [line for line in member.log.splitlines() if line.startswith("postclock: ")]
                assert told == "postclock: this process was declared dead by another one: its work goes on there"
            assert fleet.rows("SELECT count(*) FROM queue WHERE owner = $1", owner) == [(0,)]
            assert (caller.detail(fresh)["attempts"], caller.status(fresh)) == (0, "queued")
            other.thaw()
            caller.settles(fresh, "delivered")
            here.wait_for("fresh@example.com")
            done = caller.settles(sent, "delivered")
            assert [e["event_type"] for e in done["events"]] == ["processed", "uncertain", "delivered"]
            assert done["attempts"] == 1
            here.wait_for("sent@example.com")
            for address in claimed:
                here.wait_for(address)
            for address in sorted(claimed)[::20]:
                assert caller.events(idents[address]) == ["processed", "delivered"]
            for address in departed:
                caller.settles(idents[address], "delivered")
                assert "uncertain" in caller.events(idents[address])
                assert len(here.came_to(address)) == 1
