"""Secrets at rest: opened by the key and purpose they were sealed for, and by nothing else."""

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from postclock.runtime.seal import Seal, WrongKey

KEY, OTHER = bytes(range(32)), bytes(32)


@given(st.binary(max_size=200))
@settings(deadline=None, max_examples=50)
def test_what_is_sealed_comes_back(plain: bytes) -> None:
    """By another instance with the same key; sealed twice it looks different each time."""
    sealed = Seal(KEY).seal("dkim", plain)
    assert Seal(KEY).open("dkim", sealed) == plain
    assert Seal(KEY).seal("dkim", plain) != sealed
    assert len(plain) < 8 or plain not in sealed


def test_another_key_or_purpose_opens_nothing() -> None:
    """Each has a sub-key of its own."""
    sealed = Seal(KEY).seal("dkim", b"secret")
    for seal, purpose in ((Seal(OTHER), "dkim"), (Seal(KEY), "webhooks")):
        with pytest.raises(WrongKey):
            seal.open(purpose, sealed)


@given(st.integers(0, 10_000), st.integers(1, 255))
@settings(deadline=None, max_examples=100)
def test_one_changed_octet_is_seen(place: int, change: int) -> None:
    """Version, nonce, content or tag."""
    sealed = bytearray(Seal(KEY).seal("dkim", b"secret of the house"))
    sealed[place % len(sealed)] ^= change
    with pytest.raises(WrongKey):
        Seal(KEY).open("dkim", bytes(sealed))


@pytest.mark.parametrize("cut", [0, 1, 5, 12, 13, 20, 28])
def test_a_cut_one_is_no_seal(cut: int) -> None:
    """Told as a wrong key, not as a fault."""
    with pytest.raises(WrongKey):
        Seal(KEY).open("dkim", Seal(KEY).seal("dkim", b"secret")[:cut])


@pytest.mark.parametrize("length", [0, 16, 31, 33, 64])
def test_the_key_has_32_octets(length: int) -> None:
    """Anything else is a mistake of the operator's."""
    with pytest.raises(ValueError, match="32 octets"):
        Seal(bytes(length))


def test_the_check_value_knows_the_key_and_tells_nothing() -> None:
    """The same key, the same value; it is neither the key nor a sub-key in use."""
    value = Seal(KEY).check_value()
    assert value == Seal(KEY).check_value() != Seal(OTHER).check_value()
    assert value not in (KEY.hex(), Seal(KEY).sub_key("check").hex())
    assert Seal(KEY).sub_key("a") != Seal(KEY).sub_key("b")
