"""The secret key's file: private, whole, never overwritten by a start."""

from pathlib import Path

import pytest

from postclock.runtime.key_file import BadKeyFile, make_key, read_key, write_key

KEY, OTHER = b"\x01" * 32, b"\x02" * 32


def test_a_key_is_written_for_its_owner_alone(tmp_path: Path) -> None:
    """64 hex characters, 0600, nothing left beside it."""
    file = tmp_path / "secret.key"
    assert make_key(file, KEY) == KEY
    assert file.read_text() == KEY.hex() + "\n"
    assert file.stat().st_mode & 0o777 == 0o600
    assert read_key(file) == KEY
    assert list(tmp_path.iterdir()) == [file]


def test_a_key_that_is_there_is_kept(tmp_path: Path) -> None:
    """Everything is sealed under it: of two that start at once, the first makes the key for both."""
    file = tmp_path / "secret.key"
    make_key(file, KEY)
    assert make_key(file, OTHER) == KEY
    assert list(tmp_path.iterdir()) == [file]


def test_writing_takes_the_place_of_what_was_there(tmp_path: Path) -> None:
    """In one step."""
    file = tmp_path / "secret.key"
    file.write_text("half a k")
    write_key(file, OTHER)
    assert read_key(file) == OTHER
    assert list(tmp_path.iterdir()) == [file]


@pytest.mark.parametrize("content", [b"", b"abcd", b"zz" * 32, b"ab" * 33, b"\xff\xfe" * 32])
def test_a_file_that_holds_no_key_is_named(tmp_path: Path, content: bytes) -> None:
    """And its content is not shown."""
    file = tmp_path / "secret.key"
    file.write_bytes(content)
    with pytest.raises(BadKeyFile) as refused:
        read_key(file)
    assert str(refused.value) == f"{file} does not hold 64 hex characters"
