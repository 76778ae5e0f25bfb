"""POST /v1/send/batch: up to a thousand requests in one call, each for itself (Sendara's documentation, batch).

The body and the answer are bare arrays in the same order. Items are taken side by side, so that they share commits; only those under
one key wait for each other, because the second is a repeat of the first.
"""

import asyncio
import json
import re
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from itertools import islice
from typing import Final

import msgspec
from starlette.types import Scope

from postclock.api.hot_endpoint import HeaderLines, HotEndpoint
from postclock.api.intake import Intake
from postclock.api.json_body import bounded, load
from postclock.api.limits import Limits
from postclock.api.sendara.failures import VOICE
from postclock.api.sendara.send import SendOne, told_of
from postclock.api.sendara.translate import SendRequest
from postclock.api.sendara.wire import ItemAnswer
from postclock.api.shape import THREAD_FROM
from postclock.core.account import Principal
from postclock.core.clock import Clock
from postclock.core.errors import Invalid
from postclock.service.principal import Authenticator
from postclock.service.submit import BULK_FROM

PATH: Final = "/v1/send/batch"
STATUS: Final = 200
MAX_ITEMS: Final = 1_000
AT_ONCE: Final = 100
"""Keys whose items are under way together: enough to fill a commit, few enough that other callers get their turn."""
PARSED_AT_ONCE: Final = 64 * 1024
"""Octets of items read before others get their turn: a few milliseconds, and a call may have 20 MB."""

_BETWEEN: Final = re.compile(r"[ \t\r\n,]*")
_scan: Final = json.JSONDecoder().raw_decode
_items: Final = msgspec.json.Decoder(list[msgspec.Raw]).decode
_encode: Final = msgspec.json.Encoder().encode


@dataclass(slots=True)
class _Item:
    """An item that can be taken, at its place in the call."""

    place: int
    asked: SendRequest
    print_: bytes


class SendBatch(HotEndpoint):
    """The endpoint as an ASGI app."""

    path = PATH
    voice = VOICE

    def __init__(
        self, *, send_one: SendOne, clock: Clock, authenticator: Authenticator, limits: Limits, intake: Intake
    ) -> None:
        super().__init__(authenticator, limits, intake)
        self._send_one = send_one
        self._clock = clock

    async def answer(self, who: Principal, scope: Scope, body: bytes) -> tuple[int, bytes, HeaderLines]:
        """See HotEndpoint."""
        items = _split(body) if len(body) < THREAD_FROM else await asyncio.to_thread(_split, body)
        bulk = len(items) > BULK_FROM
        answers: list[ItemAnswer] = [ItemAnswer(False)] * len(items)
        chains: dict[str | int, list[_Item]] = {}
        read = 0
        for place, raw in enumerate(items):
            try:
                item = bytes(raw)
                read += len(item)
                asked, print_ = await self._send_one.parse(who, item)
            except Exception as error:  # noqa: BLE001  (each item for itself)
                answers[place] = ItemAnswer(False, error=told_of(error))
            else:
                key = place if asked.idempotency_key is None else asked.idempotency_key
                chains.setdefault(key, []).append(_Item(place, asked, print_))
            if read >= PARSED_AT_ONCE:
                read = 0
                await self._clock.sleep(0)
        waiting = iter(chains.values())
        while part := list(islice(waiting, AT_ONCE)):
            async with asyncio.TaskGroup() as tasks:
                for chain in part:
                    tasks.create_task(self._send(who, chain, answers, bulk=bulk))
        return STATUS, _encode(answers), []

    async def _send(self, who: Principal, chain: list[_Item], answers: list[ItemAnswer], *, bulk: bool) -> None:
        for item in chain:
            try:
                answer, _ = await self._send_one.send(who, item.asked, item.print_, bulk=bulk)
                answers[item.place] = ItemAnswer(True, response=answer)
            except Exception as error:  # noqa: BLE001  (each item for itself: one that fails must not take the others' answers)
                answers[item.place] = ItemAnswer(False, error=told_of(error))


def _split(body: bytes) -> Sequence[bytes | msgspec.Raw]:
    """The items as they were written. Raises Invalid unless the body is an array of 1 to ``MAX_ITEMS``, TooLarge over the limit."""
    bounded(body)
    try:
        items: Sequence[bytes | msgspec.Raw] = _items(body)
    except (msgspec.DecodeError, UnicodeDecodeError, RecursionError):
        if not isinstance(load(body), list):  # which says what is wrong, when it is no JSON at all
            raise Invalid("The body must be an array of send requests.") from None
        items = list(_pieces(body.decode()))
    if not 0 < len(items) <= MAX_ITEMS:
        raise Invalid(f"The array must have 1 to {MAX_ITEMS:,} items.")
    return items


def _pieces(text: str) -> Iterator[bytes]:
    """The items of a well-formed array of which one holds what the quick decoder does not pass: each is judged by itself."""
    place = text.index("[") + 1
    while True:
        between = _BETWEEN.match(text, place)
        assert between is not None
        start = between.end()
        if text[start] == "]":
            return
        _, place = _scan(text, start)
        yield text[start:place].encode()
