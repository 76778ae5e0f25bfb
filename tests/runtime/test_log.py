"""Log lines: one JSON object each, readable for people, silent about libraries' chatter."""

import io
import json
import logging
import sys
from collections.abc import Iterator

import pytest

from postclock.runtime.log import ROOT, get_logger, start_logging


class Terminal(io.StringIO):
    """A stream that says it is a terminal."""

    def isatty(self) -> bool:
        return True


class Errors:
    """What was written to stderr so far."""

    def __init__(self, capsys: pytest.CaptureFixture[str]) -> None:
        self._capsys = capsys
        self._text = ""

    def getvalue(self) -> str:
        self._text += self._capsys.readouterr().err
        return self._text


@pytest.fixture
def stderr(capsys: pytest.CaptureFixture[str]) -> Iterator[Errors]:
    """Where the log goes; logging is afterwards as it was."""
    root, house = logging.getLogger(), logging.getLogger(ROOT)
    handlers, level, house_level = root.handlers[:], root.level, house.level
    yield Errors(capsys)
    root.handlers[:] = handlers
    root.setLevel(level)
    house.setLevel(house_level)


def lines(stream: Errors) -> list[dict[str, object]]:
    return [json.loads(line) for line in stream.getvalue().splitlines()]


def test_a_line_is_one_json_object_with_its_fields(stderr: Errors) -> None:
    """Even when a field has line ends in it: nobody can forge a second line."""
    start_logging("info")
    get_logger("engine").warning("host\nin trouble", host="mx\r\n{}", tries=3, of={1})
    (line,) = lines(stderr)
    assert line["message"] == "host\nin trouble"
    assert (line["level"], line["from"], line["host"], line["tries"], line["of"]) == (
        "warning",
        "engine",
        "mx\r\n{}",
        3,
        "{1}",
    )
    assert isinstance(line["at"], float)


def test_the_level_holds_for_the_house_and_libraries_only_warn(stderr: Errors) -> None:
    """Debug of ours on request, never that of a library (which may show addresses and bodies)."""
    start_logging("debug")
    get_logger("a").debug("ours")
    logging.getLogger("mail.log").info("RCPT TO:<ada@example.com>")
    logging.getLogger("other").warning("theirs")
    assert [line["message"] for line in lines(stderr)] == ["ours", "theirs"]
    start_logging("error")
    get_logger("a").warning("no longer")
    assert len(lines(stderr)) == 2


def test_an_exception_comes_with_its_traceback_in_the_same_line(stderr: Errors) -> None:
    """One event, one line."""
    start_logging("info")
    try:
        raise ValueError("a fault")
    except ValueError:
        get_logger("a").exception("it failed", message_id=7)
    (line,) = lines(stderr)
    assert "ValueError: a fault" in str(line["traceback"])
    assert line["message_id"] == 7


def test_a_logged_fault_shows_no_value_of_a_local_variable(stderr: Errors) -> None:
    """A traceback has lines of source, never what the variables held: a secret in hand does not get into the log."""
    start_logging("info")

    def opening(secret: str) -> None:
        raise RuntimeError("cannot open")

    try:
        opening("sg_live_" + "0123456789abcdef" * 2)
    except RuntimeError:
        get_logger("a").exception("it failed")
    assert "0123456789abcdef" * 2 not in stderr.getvalue()


def test_on_a_terminal_it_is_a_line_for_people(monkeypatch: pytest.MonkeyPatch, stderr: Errors) -> None:
    """Time, level, part, message, fields."""
    terminal = Terminal()
    monkeypatch.setattr(sys, "stderr", terminal)
    start_logging("info")
    get_logger("engine").info("started", port=8080)
    assert terminal.getvalue().rstrip().endswith("info    engine: started  port=8080")
    assert not stderr.getvalue()


def test_started_again_each_line_comes_once(stderr: Errors) -> None:
    """The handler takes the place of the one before."""
    start_logging("info")
    start_logging("info")
    get_logger("a").info("once")
    assert len(lines(stderr)) == 1
