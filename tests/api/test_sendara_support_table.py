"""The page that tells what /v1 supports is the parser's and the endpoints' own word."""

import importlib.util
from pathlib import Path
from types import ModuleType

from postclock.api.sendara.wire import Destination, SendBody, SendPayload

DOCS = Path(__file__).parents[2] / "docs"


def _script() -> ModuleType:
    spec = importlib.util.spec_from_file_location("make_support_sendara", DOCS / "make_support_sendara.py")
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


def test_the_support_page_is_current() -> None:
    """Whoever changes what is accepted, or which calls there are, makes the page anew."""
    script = _script()
    assert script.PAGE.read_text("utf-8") == script.table(), "run: python docs/make_support_sendara.py"


def test_every_field_of_the_wire_is_on_the_page() -> None:
    """A field that the parser knows has a row."""
    rows = {path.partition(" ")[0] for path, _ in _script().FIELDS}
    known = {f"destination.{f}" for f in Destination.__struct_encode_fields__}
    known |= {f"payload.{f}" for f in SendPayload.__struct_encode_fields__}
    known |= set(SendBody.__struct_encode_fields__) - {"destination", "payload", "metadata", "postclock"}
    assert known <= rows
