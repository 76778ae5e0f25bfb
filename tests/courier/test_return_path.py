"""Return paths: what was made is read, and nothing else is."""

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from postclock.core import address
from postclock.courier.return_path import Returned, ReturnPath

IDS = st.integers(0, 2**63 - 1)
PATHS = ReturnPath(b"k" * 32)
MADE = PATHS.make(123_456_789, 987_654_321, "mail.example.com")


@given(IDS, IDS)
@settings(deadline=None)
def test_what_was_made_is_read(message: int, envelope: int) -> None:
    """In any case, and the address is a valid one."""
    made = PATHS.make(message, envelope, "mail.example.com")
    assert address.problem(made) is None
    assert made == made.lower()
    assert PATHS.read(made) == Returned(message, envelope)
    assert PATHS.read(made.upper()) == Returned(message, envelope)


def test_the_alphabet_forgives_copying_by_hand() -> None:
    """o is 0, i and l are 1."""
    path = next(p for n in range(1000) if "1" in (p := PATHS.make(n, n, "example.com")) and "0" in p)
    local, _, domain = path.partition("@")
    assert PATHS.read(path) is not None
    assert PATHS.read(local.replace("0", "o").replace("1", "l") + "@" + domain) == PATHS.read(path)


@given(st.integers(2, 53), st.sampled_from("0123456789abcdefghjkmnpqrstvwxyz"))
@settings(deadline=None)
def test_a_changed_character_is_noticed(at: int, character: str) -> None:
    """Nobody makes a bounce for a message whose path they have not seen."""
    changed = MADE[:at] + character + MADE[at + 1 :]
    assert (PATHS.read(changed) is not None) == (changed == MADE)


@pytest.mark.parametrize(
    "other",
    [
        "",
        "b+",
        "b+@example.com",
        "someone@example.com",
        MADE.removeprefix("b+"),
        "c" + MADE[1:],
        "b+u" + MADE[3:],
        "b+z" + MADE[3:],
        MADE.replace("@", "0@"),
        "b+" + "é" * 42 + "@example.com",
    ],
)
def test_other_addresses_are_not_ours(other: str) -> None:
    """None, never an error."""
    assert PATHS.read(other) is None


def test_another_key_reads_nothing() -> None:
    """And a short key is refused."""
    assert ReturnPath(b"x" * 32).read(MADE) is None
    with pytest.raises(ValueError, match="too short"):
        ReturnPath(b"short")
