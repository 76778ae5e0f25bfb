"""Free disk: what is accepted, what departs, and how often the file system is asked."""

from dataclasses import dataclass
from pathlib import Path

import pytest

from postclock.core.errors import Busy
from postclock.runtime.disk import ACCEPT_BELOW, DEPART_BELOW, LOOK_SECONDS, DiskWatch
from tests.support.clock import MovedClock


@dataclass
class Disk:
    """A disk that a test fills; ``asked`` counts the questions."""

    free: int = 2 * ACCEPT_BELOW
    asked: int = 0


@pytest.fixture
def disk(monkeypatch: pytest.MonkeyPatch) -> Disk:
    """The disk under the data folder."""
    found = Disk()

    def usage(_: Path) -> Disk:
        found.asked += 1
        return found

    monkeypatch.setattr("postclock.runtime.disk.shutil.disk_usage", usage)
    return found


def test_below_512_mib_nothing_is_accepted(disk: Disk, tmp_path: Path) -> None:
    """507, with a time to come back; what was accepted still departs."""
    disk.free = ACCEPT_BELOW - 1
    watch = DiskWatch(tmp_path, MovedClock())
    with pytest.raises(Busy) as refused:
        watch.may_accept()
    assert (refused.value.status, refused.value.retry_after > 0) == (507, True)
    assert watch.may_depart()


def test_below_256_mib_nothing_departs(disk: Disk, tmp_path: Path) -> None:
    """Its result could not be written."""
    disk.free = DEPART_BELOW - 1
    assert not DiskWatch(tmp_path, MovedClock()).may_depart()
    assert (ACCEPT_BELOW, DEPART_BELOW) == (512 * 2**20, 256 * 2**20)


def test_at_the_thresholds_all_goes_on(disk: Disk, tmp_path: Path) -> None:
    """Below means below."""
    disk.free = ACCEPT_BELOW
    DiskWatch(tmp_path, MovedClock()).may_accept()
    disk.free = DEPART_BELOW
    assert DiskWatch(tmp_path, MovedClock()).may_depart()


def test_room_that_comes_back_is_noticed_within_a_second(disk: Disk, tmp_path: Path) -> None:
    """And the file system is asked once a second, however many calls come."""
    clock = MovedClock()
    watch = DiskWatch(tmp_path, clock)
    disk.free = 0
    for _ in range(100):
        with pytest.raises(Busy):
            watch.may_accept()
    assert disk.asked == 1
    disk.free = ACCEPT_BELOW
    clock.move(LOOK_SECONDS)
    watch.may_accept()
    assert disk.asked == 2
