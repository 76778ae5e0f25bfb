"""A conversation with servers that misbehave in every phase: the outcome is exact, and so is what they saw."""

import pytest

from postclock.core.outcome import Phase
from postclock.courier.interface import Envelope
from postclock.courier.timeouts import Timeouts
from tests.courier.parts import MAIL, ONE, SHORT, TWO, delivered, session_to, states
from tests.support import misbehaving as m
from tests.support import scripted_server


@pytest.mark.parametrize("offer", [m.behaves, m.no_pipelining, m.helo_only])
async def test_a_mail_is_taken(offer: scripted_server.Behaviour) -> None:
    """With PIPELINING, without it, and by a server that knows only HELO."""
    delivery, server = await delivered(offer, TWO)
    assert states(delivery) == ["accepted", "accepted"]
    assert server.bodies == [MAIL]
    assert delivery.dot_sent
    assert delivery.data_at_ms is not None
    assert delivery.data_at_ms <= delivery.replied_at_ms
    assert delivery.host == "127.0.0.1"
    assert delivery.reply is not None
    assert delivery.reply.code == 250


async def test_the_envelope_goes_in_one_write() -> None:
    """MAIL, RCPT and DATA come to a server that pipelines before it answers any of them."""
    delivery, server = await delivered(m.answers_recipients("250 fine", "250 fine"), TWO)
    assert states(delivery) == ["accepted", "accepted"]
    assert bytes(server.peers[0].heard).startswith(
        b"EHLO client.test\r\n"
        b"MAIL FROM:<sender@example.com> SIZE=%d\r\n"
        b"RCPT TO:<one@example.net>\r\nRCPT TO:<two@example.net>\r\nDATA\r\n" % len(MAIL)
    )


async def test_nothing_is_written_before_deliver() -> None:
    """A session that is never used has said EHLO and nothing else."""
    async with session_to(m.behaves) as (session, server):
        session.abort()
        await server.all_ended()
    assert server.heard == b"EHLO client.test\r\n"


@pytest.mark.parametrize(
    ("behaviour", "state", "phase", "host_trouble"),
    [
        (m.closes_at_mail, "deferred", Phase.MAIL, False),
        (m.busy_at_mail, "deferred", Phase.MAIL, True),
        (m.refuses_mail("451 4.3.0 later"), "deferred", Phase.MAIL, False),
        (m.refuses_mail("550 5.7.1 not you"), "bounced", Phase.MAIL, False),
        (m.refuses_mail("552 5.3.4 too big"), "bounced", Phase.MAIL, False),
        (m.refuses_mail_yet_takes_data, "bounced", Phase.MAIL, False),
        (m.goes_on_at_mail, "deferred", Phase.MAIL, False),
        (m.half_a_reply_to_mail, "deferred", Phase.MAIL, False),
        (m.garbage_at_mail, "deferred", Phase.MAIL, False),
        (m.closes_after_replies("250 fine"), "deferred", Phase.RCPT, False),
        (m.closes_after_replies("250 fine", "250-half"), "deferred", Phase.RCPT, False),
        (m.closes_after_replies("250 fine", "421 4.3.2 going down"), "deferred", Phase.RCPT, True),
        (m.answers_recipients("450 4.2.1 greylisted", data="503 none"), "deferred", Phase.RCPT, False),
        (m.answers_recipients("550 5.1.1 unknown", data="503 none"), "bounced", Phase.RCPT, False),
        (m.answers_recipients("552 5.5.3 too many", data="503 none"), "deferred", Phase.RCPT, False),
        (m.closes_after_replies("250 fine", "250 fine"), "deferred", Phase.DATA, False),
        (m.closes_after_replies("250 fine", "250 fine", "421 4.3.2 going down"), "deferred", Phase.DATA, True),
        (m.answers_recipients("250 fine", data="451 4.3.0 later"), "deferred", Phase.DATA, False),
        (m.answers_recipients("250 fine", data="554 5.7.1 no"), "bounced", Phase.DATA, False),
        (m.takes_data_for_done, "deferred", Phase.DATA, False),
        (m.answers_before_the_body, "deferred", Phase.BODY, False),
    ],
)
async def test_before_the_dot_nothing_is_uncertain(
    behaviour: scripted_server.Behaviour, state: str, phase: Phase, host_trouble: bool
) -> None:
    """Whatever happens before the dot is a deferral, or a bounce where the server said so; the server has no message."""
    delivery, server = await delivered(behaviour)
    (outcome,) = delivery.outcomes
    assert (outcome.state, outcome.phase, outcome.host_trouble) == (state, phase, host_trouble)
    assert outcome.text
    assert not delivery.dot_sent
    assert server.bodies == []
    assert b"Subject" not in server.heard


@pytest.mark.parametrize(
    ("behaviour", "phase"),
    [(m.silent_at_mail, Phase.MAIL), (m.silent_at_rcpt, Phase.RCPT), (m.silent_at_data, Phase.DATA)],
)
async def test_silence_before_the_dot_is_a_deferral(behaviour: scripted_server.Behaviour, phase: Phase) -> None:
    """Each reply has its own time; when it runs out the line is cut."""
    delivery, server = await delivered(behaviour, timeouts=SHORT)
    (outcome,) = delivery.outcomes
    assert (outcome.state, outcome.phase) == ("deferred", phase)
    assert "no reply in time" in outcome.text
    assert server.bodies == []


async def test_each_reply_has_its_own_time() -> None:
    """A long patience for MAIL does not lengthen the one for RCPT."""
    delivery, _ = await delivered(m.silent_at_rcpt, timeouts=Timeouts(mail=100, rcpt=0.05, data=100))
    assert delivery.outcomes[0].phase is Phase.RCPT


@pytest.mark.parametrize(
    "behaviour",
    [
        m.busy_at_mail,
        m.goes_on_at_mail,
        m.refuses_mail_yet_takes_data,
        m.takes_data_for_done,
        m.answers_recipients("250 fine", data="421 4.3.2 going down"),
    ],
)
async def test_a_conversation_out_of_step_is_not_gone_on_with(behaviour: scripted_server.Behaviour) -> None:
    """After 421, or when the two sides disagree on where they are, the connection takes no other message."""
    async with session_to(behaviour) as (session, _):
        await session.deliver(ONE, MAIL)
        assert not session.usable


async def test_dot_sent_speaks_of_the_present_message() -> None:
    """The one before was taken; this one was refused."""

    async def behaviour(peer: scripted_server.Peer) -> None:
        await peer.greet()
        await peer.accept_envelope()
        await peer.hear_body()
        await peer.say("250 taken")
        await peer.take_envelope()
        await peer.say("250 fine\r\n550 5.1.1 unknown\r\n503 none")
        await peer.hear_out()

    async with session_to(behaviour) as (session, _):
        assert (await session.deliver(ONE, MAIL)).dot_sent
        assert not (await session.deliver(ONE, MAIL)).dot_sent
        assert not session.dot_sent


@pytest.mark.parametrize(
    ("octets", "state", "host_trouble"),
    [
        (b"", "uncertain", False),
        (b"250 2.0.0 tak", "uncertain", False),
        (b"250-2.0.0 taken\r\n", "uncertain", False),
        (b"okay\r\n", "uncertain", False),
        (b"354 go on\r\n", "uncertain", False),
        (b"250-taken\r\n550 not\r\n", "uncertain", False),
        (b"250 " + b"x" * 5_000 + b"\r\n", "uncertain", False),
        (b"250-and another line\r\n" * 200, "uncertain", False),
        (b"450 4.3.0 later\r\n", "deferred", False),
        (b"421 4.3.2 going down\r\n", "deferred", True),
        (b"550 5.7.1 spam\r\n", "bounced", False),
        (b"552 5.2.2 mailbox full\r\n", "bounced", False),
        (b"250\r\n", "accepted", False),
        (b"250 2.0.0 taken\n", "accepted", False),
    ],
)
async def test_after_the_dot_only_a_reply_is_an_answer(octets: bytes, state: str, host_trouble: bool) -> None:
    """A whole reply settles it, a refusal too; everything else leaves it uncertain."""
    delivery, server = await delivered(m.ends_with(octets))
    (outcome,) = delivery.outcomes
    assert (outcome.state, outcome.phase, outcome.host_trouble) == (state, Phase.DOT, host_trouble)
    assert delivery.dot_sent
    assert server.bodies == [MAIL]


async def test_silence_after_the_dot_is_uncertain() -> None:
    """The final reply's own time runs out."""
    delivery, _ = await delivered(m.silent_after_the_dot, timeouts=SHORT)
    assert states(delivery) == ["uncertain"]
    assert delivery.dot_sent


async def test_a_second_answer_to_the_dot_ends_the_conversation() -> None:
    """The first one counts, and the connection is not used again."""
    async with session_to(m.answers_the_dot_twice) as (session, _):
        delivery = await session.deliver(ONE, MAIL)
        assert states(delivery) == ["accepted"]
        await session.wire.lost
        assert not session.usable


async def test_each_recipient_has_its_own_outcome() -> None:
    """One refused for good, one for now, one taken: the mail goes to the third."""
    three = Envelope(mail_from="s@example.com", recipients=("a@example.net", "b@example.net", "c@example.net"))
    delivery, server = await delivered(m.answers_recipients("550 5.1.1 unknown", "452 4.2.2 full", "250 fine"), three)
    assert states(delivery) == ["bounced", "deferred", "accepted"]
    assert server.bodies == [MAIL]
    assert str(delivery.outcomes[0].reply) == "550 5.1.1 unknown"


async def test_a_break_between_recipients_keeps_what_was_answered() -> None:
    """The one that was refused stays refused; the one before it, accepted, and the one after it have nothing yet."""
    three = Envelope(mail_from="s@example.com", recipients=("a@example.net", "b@example.net", "c@example.net"))
    delivery, _ = await delivered(m.closes_after_replies("250 fine", "250 fine", "550 5.1.1 unknown"), three)
    assert states(delivery) == ["deferred", "bounced", "deferred"]


async def test_a_421_to_one_recipient_stops_the_message() -> None:
    """It closes the channel for all that have no answer, although the server seems to go on."""
    delivery, server = await delivered(m.answers_recipients("250 fine", "421 4.3.2 enough"), TWO)
    assert states(delivery) == ["deferred", "deferred"]
    assert [o.text for o in delivery.outcomes] == ["421 4.3.2 enough"] * 2
    assert delivery.host_trouble
    assert server.bodies == []


async def test_a_refused_mail_goes_nowhere_although_data_was_taken() -> None:
    """All recipients refused and yet 354: a lone dot ends it, the next message is not disturbed."""
    behaviour = m.answers_recipients("550 5.1.1 unknown", "550 5.1.1 unknown", end="554 5.5.1 no recipients")
    async with session_to(behaviour) as (session, server):
        first = await session.deliver(TWO, MAIL)
        assert states(first) == ["bounced", "bounced"]
        assert not first.dot_sent
        second = await session.deliver(ONE, MAIL)
        assert states(second) == ["accepted"]
    assert server.bodies == [b"", MAIL]
    assert b"RSET" not in server.heard


@pytest.mark.parametrize(
    "behaviour",
    [m.answers_recipients("550 5.1.1 unknown", data="503 none"), m.answers_recipients("250 fine", data="451 later")],
)
async def test_an_open_transaction_is_reset_before_the_next(behaviour: scripted_server.Behaviour) -> None:
    """After MAIL was taken and DATA was not, RSET goes ahead of the next message, and only then."""
    async with session_to(behaviour) as (session, server):
        await session.deliver(ONE, MAIL)
        assert b"RSET" not in server.heard
        assert states(await session.deliver(ONE, MAIL)) == ["accepted"]
        assert states(await session.deliver(ONE, MAIL)) == ["accepted"]
    assert server.heard.count(b"RSET\r\n") == 1


async def test_a_kept_connection_needs_no_reset() -> None:
    """Three messages, one EHLO, no RSET."""
    async with session_to(m.behaves) as (session, server):
        for _ in range(3):
            assert states(await session.deliver(ONE, MAIL)) == ["accepted"]
        assert session.served == 3
    assert server.bodies == [MAIL] * 3
    assert server.heard.count(b"EHLO") == 1
    assert b"RSET" not in server.heard


# What the server offers.


async def test_a_message_over_the_size_is_not_sent() -> None:
    """It bounces here, and the connection serves the next one."""
    async with session_to(m.offers("SIZE 100", "PIPELINING")) as (session, server):
        delivery = await session.deliver(ONE, MAIL * 10)
        (outcome,) = delivery.outcomes
        assert (outcome.state, outcome.local) == ("bounced", True)
        assert outcome.reply is not None
        assert (outcome.reply.code, outcome.reply.enhanced) == (552, "5.3.4")
        assert delivery.data_at_ms is None
        assert states(await session.deliver(ONE, MAIL)) == ["accepted"]
    assert server.bodies == [MAIL]


@pytest.mark.parametrize(
    ("envelope", "enhanced"),
    [
        (Envelope(mail_from="s@example.com", recipients=("jörg@example.net",)), "5.6.7"),
        (Envelope(mail_from="s@example.com", recipients=("a@example.net",), smtputf8=True), "5.6.7"),
        (Envelope(mail_from="s@example.com", recipients=("a@example.net",), eight_bit=True), "5.6.3"),
    ],
)
async def test_what_the_server_cannot_carry_bounces_here(envelope: Envelope, enhanced: str) -> None:
    """Addresses beyond ASCII need SMTPUTF8, octets above 127 need 8BITMIME."""
    delivery, server = await delivered(m.offers("PIPELINING"), envelope)
    (outcome,) = delivery.outcomes
    assert outcome.state == "bounced"
    assert outcome.reply is not None
    assert outcome.reply.enhanced == enhanced
    assert server.heard == b"EHLO client.test\r\n"


async def test_what_the_server_can_carry_is_declared() -> None:
    """SIZE, BODY and SMTPUTF8 stand behind MAIL; the null return path is <>."""
    envelope = Envelope(mail_from="", recipients=("jörg@example.net",), eight_bit=True)
    delivery, server = await delivered(m.behaves, envelope, "Subject: grüße\r\n\r\n".encode())
    assert states(delivery) == ["accepted"]
    assert "MAIL FROM:<> SIZE=20 BODY=8BITMIME SMTPUTF8\r\nRCPT TO:<jörg@example.net>\r\n".encode() in server.heard


@pytest.mark.parametrize("content", [b"a\nb\r\n", b"a\rb\r\n", b"a\r\n.\n.\r\n", b"a\r", b"\n"])
async def test_a_bare_line_end_is_never_sent(content: bytes) -> None:
    """Two servers could see two messages in it."""
    delivery, server = await delivered(m.behaves, ONE, content)
    assert states(delivery) == ["bounced"]
    assert server.heard == b"EHLO client.test\r\n"


@pytest.mark.parametrize("address", ["a@example.net>\r\nRCPT TO:<b@example.net", "a\n@example.net", "a\0@example.net"])
def test_an_address_cannot_carry_a_command(address: str) -> None:
    """A line end in an address is refused before any connection sees it."""
    with pytest.raises(ValueError, match="control character"):
        Envelope(mail_from="s@example.com", recipients=(address,))
    with pytest.raises(ValueError, match="control character"):
        Envelope(mail_from=address, recipients=("a@example.net",))
