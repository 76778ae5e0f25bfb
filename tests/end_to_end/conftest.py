"""One service for all stories of a file that do not disturb each other."""

from collections.abc import Iterator

import pytest

from tests.end_to_end.parts import Ground, ground


@pytest.fixture(scope="module")
def shared(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Ground]:
    """A service with a sink that takes everything; the stories of a file share it."""
    with ground(tmp_path_factory.mktemp("postclock")) as here:
        yield here
