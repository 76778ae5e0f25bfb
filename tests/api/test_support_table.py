"""The page that tells what mail/send supports is the parser's own word."""

import importlib.util
from pathlib import Path
from types import ModuleType

from postclock.api.scaisend.wire import MailSend, MailSettings, Personalization, TrackingSettings

DOCS = Path(__file__).parents[2] / "docs"


def _script() -> ModuleType:
    spec = importlib.util.spec_from_file_location("make_support", DOCS / "make_support.py")
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


def test_the_support_page_is_current() -> None:
    """Whoever changes what is accepted makes the page anew."""
    script = _script()
    assert script.PAGE.read_text("utf-8") == script.table(), "run: python docs/make_support.py"


def test_every_field_of_the_wire_is_on_the_page() -> None:
    """A field that the parser knows has a row."""
    rows = {path.partition(" ")[0] for path, _ in _script().FIELDS}
    known = {f"personalizations.0.{f}" for f in Personalization.__struct_encode_fields__}
    known |= {f"mail_settings.{f}" for f in MailSettings.__struct_encode_fields__}
    known |= {f"tracking_settings.{f}" for f in TrackingSettings.__struct_encode_fields__}
    known |= set(MailSend.__struct_encode_fields__) - {"mail_settings", "tracking_settings", "postclock"}
    assert known <= rows
