"""Chance as an argument."""

from postclock.runtime.entropy import AHEAD, Marks, SystemEntropy


class Counted(SystemEntropy):
    """It notes how often it is asked."""

    def __init__(self) -> None:
        self.asked = 0

    def secret_hex(self, octets: int) -> str:
        self.asked += 1
        return super().secret_hex(octets)


def test_marks_are_drawn_ahead_and_never_given_twice() -> None:
    """Thousands of them cost a few calls to the system; each has its full length."""
    entropy = Counted()
    marks = Marks(entropy)
    made = [marks.hex(n % 3 + 12) for n in range(3_000)]
    assert len({mark[:24] for mark in made}) == len(made)
    assert [len(mark) for mark in made[:3]] == [24, 26, 28]
    assert entropy.asked <= 3_000 * 14 // AHEAD + 2
    assert len(marks.hex(AHEAD)) == 2 * AHEAD
