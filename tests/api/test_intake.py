"""Taking in bodies: whole, bounded, and given back when they are done with."""

from collections.abc import Iterable

import pytest
from starlette.requests import ClientDisconnect
from starlette.types import Message, Receive

from postclock.api.intake import MAX_HELD, Intake
from postclock.api.json_body import MAX_BODY
from postclock.core.errors import Busy, TooLarge


def scope(length: bytes | None = None) -> dict[str, object]:
    return {"type": "http", "headers": [] if length is None else [(b"content-length", length)]}


def pieces(*given: bytes, gone: bool = False) -> Receive:
    events: list[Message] = [{"type": "http.request", "body": piece, "more_body": True} for piece in given]
    events.append({"type": "http.disconnect"} if gone else {"type": "http.request", "body": b"", "more_body": False})
    return one_by_one(events)


def one_by_one(events: Iterable[Message]) -> Receive:
    left = iter(events)

    async def receive() -> Message:
        return next(left)

    return receive


async def test_a_body_is_whole_and_counted_while_it_is_held() -> None:
    """The pieces are joined; what is held is given back at the end of the block."""
    intake = Intake()
    async with intake.body(scope(), pieces(b"ab", b"cd")) as body:
        assert body == b"abcd"
        assert intake.held == 4
    assert intake.held == 0


async def test_too_many_octets_at_once_are_refused() -> None:
    """While others hold what there is, a body is refused; when they are done it is taken."""
    assert MAX_HELD == 256 * 1024 * 1024
    intake = Intake(max_held=10)
    async with intake.body(scope(), pieces(b"123456")):
        with pytest.raises(Busy):
            async with intake.body(scope(), pieces(b"12", b"345")):
                pytest.fail("taken")
        assert intake.held == 6
    async with intake.body(scope(), pieces(b"12", b"345")) as body:
        assert body == b"12345"


async def test_an_announced_length_is_believed_when_it_is_too_much() -> None:
    """Nothing is read of a body that says itself that it is too large."""
    with pytest.raises(TooLarge):
        async with Intake().body(scope(str(MAX_BODY + 1).encode()), one_by_one([])):
            pytest.fail("taken")


async def test_an_announced_length_is_not_believed_when_it_is_small() -> None:
    """A body that lies about its length is stopped all the same."""
    intake = Intake()
    with pytest.raises(TooLarge):
        async with intake.body(scope(b"5"), pieces(b"x" * MAX_BODY, b"x")):
            pytest.fail("taken")
    assert intake.held == 0


async def test_a_caller_who_leaves_gives_back_what_was_held() -> None:
    """A line that breaks in the middle holds nothing."""
    intake = Intake()
    with pytest.raises(ClientDisconnect):
        async with intake.body(scope(), pieces(b"half", gone=True)):
            pytest.fail("taken")
    assert intake.held == 0
