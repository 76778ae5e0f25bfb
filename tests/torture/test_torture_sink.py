"""The sink of a torture run, spoken to by the standard library's SMTP client: what it notes, and how it dies."""

import asyncio
import contextlib
import smtplib
from collections.abc import AsyncIterator

import pytest

from postclock.runtime.clock import SystemClock
from postclock.torture.history import Contact
from postclock.torture.plan import dice_of
from postclock.torture.sink import STAGES, Act, Mood, Sink, Stage


@contextlib.asynccontextmanager
async def listening() -> AsyncIterator[Sink]:
    sink = Sink(SystemClock(), dice_of(1, "sink"))
    await sink.listen()
    try:
        yield sink
    finally:
        sink.vanish()


def send(port: int, token: str) -> None:
    with smtplib.SMTP("127.0.0.1", port, timeout=1) as client:
        client.sendmail(
            "a@mail.example.com", [f"{token}@example.net"], "Subject: x\r\n\r\n.a line with a dot\r\nend\r\n"
        )


async def told(sink: Sink, mood: Mood | None = None) -> Contact | None:
    """What the sink notes of one mail under a mood."""
    sink.mood = mood
    with contextlib.suppress(smtplib.SMTPException, OSError):
        await asyncio.to_thread(send, sink.port, "m1")
    sink.mood = None
    return sink.contacts.get("m1")


async def test_a_mail_is_noted() -> None:
    """RCPT, DATA and the dot, in this order, and one copy."""
    async with listening() as sink:
        before = sink.clock.now_ms()
        seen = await told(sink)
        assert seen is not None
        [attempt] = seen.attempts
        assert before <= seen.seen_at <= attempt.data_at <= sink.clock.now_ms()
        assert (attempt.is_copy, seen.refused, sink.received) == (True, False, 1)


@pytest.mark.parametrize(("stage", "act"), [(stage, act) for stage, acts in STAGES.items() for act in acts])
async def test_it_dies_in_every_phase(stage: Stage, act: Act) -> None:
    """A copy is what was read to the dot and not refused, answered or not; a 5xx to the mail is noted as a refusal."""
    async with listening() as sink:
        seen = await told(sink, Mood(stage=stage, act=act, chance=1.0))
        copies = 0 if seen is None else sum(attempt.is_copy for attempt in seen.attempts)
        assert copies == (stage == "dot" and act in ("drop", "silence"))
        assert copies == sink.received
        # The client of the standard library does not pipeline: after a refused MAIL it names no recipient.
        assert (seen is not None and seen.refused) == (act == "5xx" and stage != "mail")
        again = await told(sink)
        assert again is not None
        assert again.attempts[-1].is_copy, "afterwards it behaves"


async def test_gone_and_back() -> None:
    """It closes its port, and listens on the same one later."""
    async with listening() as sink:
        port = sink.port
        sink.vanish()
        with pytest.raises(OSError, match="refused"):
            await asyncio.to_thread(send, port, "m1")
        await sink.listen()
        assert sink.port == port
        assert await told(sink) is not None


async def test_a_refused_mail_names_its_recipient() -> None:
    """With pipelined commands the RCPT behind a refused MAIL tells whose refusal it was."""
    async with listening() as sink:
        sink.mood = Mood(stage="mail", act="5xx", chance=1.0)
        reader, writer = await asyncio.open_connection("127.0.0.1", sink.port)
        writer.write(b"EHLO x\r\nMAIL FROM:<a@mail.example.com>\r\nRCPT TO:<m1@example.net>\r\nDATA\r\nQUIT\r\n")
        answers = (await reader.read()).split(b"\r\n")
        writer.close()
        assert [line[:3] for line in answers[-5:-1]] == [b"550", b"503", b"554", b"221"]
        assert sink.contacts["m1"].refused
