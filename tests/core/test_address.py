"""Addresses: what is one, how two are compared, how one is sent."""

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from postclock.core import address


@pytest.mark.parametrize(
    "good",
    [
        "ada@example.com", "a.b+c@mail.example.co.uk", "o'neil@example.com", '"quoted name"@example.com', '"a\\"b"@example.com',
        "jürgen@example.com", "ada@bücher.example", "ada@xn--bcher-kva.example", "x" * 64 + "@example.com", "ada@example.com.",
    ],
)  # fmt: skip
def test_these_are_addresses(good: str) -> None:
    """RFC 5321 and RFC 6531."""
    assert address.problem(good) is None


@pytest.mark.parametrize(
    "bad",
    [
        "", "ada", "@example.com", "ada@", "ada@localhost", "ada@@example.com", "a da@example.com", ".ada@example.com", "ada.@example.com",
        "a..b@example.com", "ada@-example.com", "ada@example-.com", "ada@exa mple.com", "ada@example..com", "x" * 65 + "@example.com",
        "ada@" + "a" * 250 + ".com", "ada\r\n@example.com", "ada@example.com\r\nBcc: x@example.com", "a\x00@example.com", "<ada@example.com>",
        "ada@example.com>", "a,b@example.com", '"a"b@example.com', "ada@[127.0.0.1]", "\ud800@example.com", "ada@ex\u2028ample.com",
    ],
)  # fmt: skip
def test_these_are_none(bad: str) -> None:
    """Each with a sentence that says why."""
    assert str(address.problem(bad)).startswith("is not an email address: ")


def test_the_longest_and_one_more() -> None:
    """254 octets in all."""
    domain = ".".join(["a" * 60] * 3) + ".com"
    longest = "x" * (address.MAX_ADDRESS - len(domain) - 4) + "@x." + domain
    assert len(longest) == address.MAX_ADDRESS - 1
    assert address.problem(longest.replace("@x.", "@xx.")) is None
    assert address.problem(longest.replace("@x.", "@xxx.")) is not None


@given(st.text(max_size=60))
@settings(deadline=None)
def test_anything_is_judged_and_what_is_good_can_be_used(text: str) -> None:
    """No text makes it fail; a good one has a domain, a compared form and a form for the wire, all without line ends."""
    for attempt in (text, f"{text}@example.com", f"ada@{text}", f"ada@{text}.com"):
        if address.problem(attempt) is None:
            assert "." in address.domain_of(attempt)
            assert address.compared(address.compared(attempt)) == address.compared(attempt)
            wire = address.on_the_wire(attempt)
            assert not set(wire) & set("\r\n\x00")
            assert wire.rpartition("@")[2].isascii()
            assert address.needs_smtputf8(attempt) == (not wire.isascii())


def test_two_are_compared_without_case_and_in_idna_form() -> None:
    """But sent with the local part as it was given."""
    assert address.compared("Ada@Example.COM") == "ada@example.com"
    assert address.compared("Ada@BÜCHER.example") == "ada@xn--bcher-kva.example"
    assert address.on_the_wire("Ada@bücher.example") == "Ada@xn--bcher-kva.example"
    assert address.on_the_wire("Ada@Example.com") == "Ada@Example.com"


@pytest.mark.parametrize(
    "domain", ["", ".", "localhost", "a_b.com", "exa mple.com", "a" * 64 + ".com", "-a.com", "\u2024.com"]
)
def test_what_is_no_domain_raises(domain: str) -> None:
    """ValueError, never an error of the library."""
    with pytest.raises(ValueError, match="is not a domain"):
        address.ascii_domain(domain)
