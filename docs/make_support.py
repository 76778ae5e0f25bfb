"""Writes docs/support-scaisend.md: every documented field of POST /v3/mail/send, and whether it works, is ignored or is refused.

The verdicts are not typed in: each row's example is put through the parser. Run: python docs/make_support.py
"""

import copy
import json
from pathlib import Path
from typing import Any, Final

from postclock.api.scaisend.translate_send import SendRequest, parse_send
from postclock.core.errors import Invalid

NOW_MS: Final = 1_800_000_000_000
BASE: Final[dict[str, Any]] = {
    "personalizations": [{"to": [{"email": "ada@example.com"}]}],
    "from": {"email": "hello@mail.example.com"},
    "subject": "Hello",
    "content": [{"type": "text/plain", "value": "Hello."}],
}
P: Final = "personalizations.0."
FILE: Final = {"content": "aGk=", "filename": "a.txt"}

# Field, an example that asks for something. A dotted path; a number is a place in a list.
FIELDS: Final[tuple[tuple[str, Any], ...]] = (
    ("personalizations", BASE["personalizations"]),
    (P + "to", [{"email": "bob@example.com", "name": "Bob"}]),
    (P + "cc", [{"email": "carol@example.com"}]),
    (P + "bcc", [{"email": "dave@example.com"}]),
    (P + "from", {"email": "other@mail.example.com"}),
    (P + "subject", "Another subject"),
    (P + "headers", {"X-A": "b"}),
    (P + "substitutions", {"-name-": "Ada"}),
    (P + "dynamic_template_data", {"name": "Ada"}),
    (P + "custom_args", {"a": "b"}),
    (P + "send_at", NOW_MS // 1000 + 600),
    ("from", {"email": "x@mail.example.com", "name": "X"}),
    ("reply_to", {"email": "reply@example.com"}),
    ("reply_to_list", [{"email": "reply@example.com"}]),
    ("subject", "S"),
    ("content", [{"type": "text/html", "value": "<p>Hi</p>"}]),
    ("template_id", "d-example"),
    ("attachments", [FILE]),
    ("attachments (inline)", [{**FILE, "disposition": "inline", "content_id": "logo"}]),
    ("headers", {"X-A": "b"}),
    ("categories", ["digest"]),
    ("custom_args", {"a": "b"}),
    ("send_at", NOW_MS // 1000 + 600),
    ("batch_id", "bat_0000000000000"),
    ("mail_settings.sandbox_mode", {"enable": True}),
    ("mail_settings.footer", {"enable": True, "text": "bye"}),
    ("mail_settings.bypass_list_management", {"enable": True}),
    ("mail_settings.bypass_bounce_management", {"enable": True}),
    ("mail_settings.bypass_spam_management", {"enable": True}),
    ("mail_settings.bypass_unsubscribe_management", {"enable": True}),
    ("mail_settings.bcc", {"enable": True}),
    ("mail_settings.spam_check", {"enable": True}),
    ("tracking_settings.click_tracking", {"enable": True, "enable_text": True}),
    ("tracking_settings.open_tracking", {"enable": True, "substitution_tag": "%open%"}),
    ("tracking_settings.subscription_tracking", {"enable": True}),
    ("tracking_settings.ganalytics", {"enable": True}),
    ("asm", {"group_id": 1}),
    ("ip_pool_name", "pool"),
    ("sections", {"-a-": "b"}),
    ("postclock.uncertain", "hold"),
    ("an_unknown_field", True),
)


def _put(body: dict[str, Any], path: str, value: Any) -> None:
    *way, last = path.partition(" ")[0].split(".")
    place: Any = body
    for step in way:
        place = place[int(step)] if step.isdecimal() else place.setdefault(step, {})
    place[last] = value


def _parse(body: dict[str, Any]) -> SendRequest:
    return parse_send(json.dumps(body).encode(), NOW_MS)


def verdict(path: str, value: Any) -> str:
    """accepted, ignored, or refused with the reason."""
    body = copy.deepcopy(BASE)
    if path == "template_id" or path.endswith("dynamic_template_data"):
        del body["content"]
        body["template_id"] = "d-example"
    before = copy.deepcopy(body)
    _put(body, path, value)
    if path == "template_id":
        before = copy.deepcopy(BASE)
    try:
        asked = _parse(body)
    except Invalid as refused:
        return f"refused: {refused.errors[0].message}"
    return "ignored" if body != before and asked == _parse(before) else "accepted"


def table() -> str:
    """The whole page."""
    lines = [
        "# What mail/send supports",
        "",
        "Made by `docs/make_support.py`, which puts each field through the parser. A refused field that asks for nothing (`enable: false`, empty) is accepted.",
        "",
        "| field | |",
        "|---|---|",
        *(
            f"| `{path.replace('personalizations.0.', 'personalizations[].')}` | {verdict(path, value)} |"
            for path, value in FIELDS
        ),
        "",
    ]
    return "\n".join(lines)


PAGE: Final = Path(__file__).with_name("support-scaisend.md")

if __name__ == "__main__":
    PAGE.write_text(table(), "utf-8")
