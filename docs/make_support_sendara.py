"""Writes docs/support-sendara.md: every documented field of POST /v1/send, and every documented call of /v1, and whether it works.

The verdicts are not typed in: each row's example is put through the parser, and the calls are looked up among the endpoints.
Run: python docs/make_support_sendara.py
"""

import copy
import json
import re
from pathlib import Path
from typing import Any, Final, cast

from postclock.api.sendara.translate import SendRequest, parse_send
from postclock.core.errors import Invalid
from postclock.runtime.clock import SystemClock
from postclock.services import Services
from postclock.web import sendara_endpoints

BASE: Final[dict[str, Any]] = {
    "channel": "email",
    "destination": {"email": "ada@example.com"},
    "metadata": {"from_email": "hello@mail.example.com"},
    "payload": {"subject": "Hello", "body_text": "Hello."},
}

# Field, an example that asks for something.
FIELDS: Final[tuple[tuple[str, Any], ...]] = (
    ("channel", "email"),
    ("channel (sms, push, voice, webhook)", "sms"),
    ("destination.email", "bob@example.com"),
    ("destination.phone_number", "+15550100"),
    ("payload.subject", "Another subject"),
    ("payload.body_html", "<p>Hi</p>"),
    ("payload.body_text", "Hi"),
    ("payload.body_html (null)", None),
    ("idempotency_key", "welcome_9f21"),
    ("message_type", "marketing"),
    ("metadata.from_email", '"Acme" <acme@mail.example.com>'),
    ("metadata.order", "free keys are kept"),
    ("template_id", "tmpl_example"),
    ("template_vars", {"name": "Ada"}),
    ("scheduled_at", "2027-06-20T14:00:00Z"),
    ("validate_recipient", True),
    ("test_send", True),
    ("store_payload", False),
    ("postclock.uncertain", "hold"),
    ("an_unknown_field", True),
)

CALLS: Final[tuple[str, ...]] = (
    "POST /v1/send", "POST /v1/send/batch", "POST /v1/send/bulk", "GET /v1/messages", "GET /v1/messages/{id}", "POST /v1/messages/{id}/cancel",
    "POST /v1/validate", "GET /v1/suppressions", "POST /v1/suppressions", "DELETE /v1/suppressions", "GET /v1/domains", "POST /v1/domains",
    "GET /v1/domains/{domain}", "POST /v1/domains/{domain}/verify", "GET /v1/domains/{domain}/bimi", "PUT /v1/domains/{domain}/bimi",
    "POST /v1/domains/{domain}/inbound", "GET /v1/inbound", "GET /v1/keys", "POST /v1/keys", "POST /v1/keys/{id}/rotate", "DELETE /v1/keys/{id}",
    "GET /v1/usage", "PUT /v1/spend-caps", "GET /v1/billing", "POST /v1/billing/checkout", "POST /v1/billing/portal", "GET /v1/credits",
    "GET /v1/templates", "POST /v1/templates", "GET /v1/templates/{id}", "PUT /v1/templates/{id}", "DELETE /v1/templates/{id}",
    "POST /v1/templates/{id}/render", "GET /v1/contacts", "GET /v1/broadcasts", "GET /v1/webhooks", "POST /v1/webhooks", "GET /v1/webhooks/{id}",
    "PUT /v1/webhooks/{id}", "DELETE /v1/webhooks/{id}", "GET /v1/webhooks/{id}/deliveries", "POST /v1/webhooks/{id}/rotate-secret", "POST /v1/uploads",
    "GET /v1/test-recipients", "POST /v1/test-recipients", "POST /v1/test-recipients/{id}/resend", "DELETE /v1/test-recipients/{id}",
    "GET /v1/account/verification", "GET /v1/automations", "GET /v1/forms",
)  # fmt: skip
"""What Sendara's documentation and libraries name; of a family that is not there, one call stands for all."""

_PLACE: Final = re.compile(r"\{[^}]*\}")


class _Anything:
    """Stands for services that are not called."""

    def __getattr__(self, name: str) -> "_Anything":
        return self


def _put(body: dict[str, Any], path: str, value: Any) -> None:
    *way, last = path.partition(" ")[0].split(".")
    place: Any = body
    for step in way:
        place = place.setdefault(step, {})
    place[last] = value


def _parse(body: dict[str, Any]) -> SendRequest:
    return parse_send(json.dumps(body).encode(), "")


def verdict(path: str, value: Any) -> str:
    """accepted, ignored, or refused with the reason."""
    body = copy.deepcopy(BASE)
    if path == "template_vars":
        body["template_id"] = "tmpl_example"
    before = copy.deepcopy(body)
    _put(body, path, value)
    try:
        asked = _parse(body)
    except Invalid as refused:
        return f"refused: {refused.errors[0].message}"
    return "ignored" if body != before and asked == _parse(before) else "accepted"


def served() -> list[str]:
    """Every call that is answered, in order."""
    endpoints = sendara_endpoints(cast(Services, _Anything()), SystemClock())
    return [f"{e.method} {e.path}" for e in endpoints]


def _bare(call: str) -> str:
    return _PLACE.sub("{}", call)


def table() -> str:
    """The whole page."""
    calls = served()
    known = {_bare(call) for call in calls}
    named = {_bare(call) for call in CALLS}
    rows = [(call, "works" if _bare(call) in known else "not there: 404") for call in CALLS]
    rows += [(_PLACE.sub("{id}", call), "works, ours") for call in calls if _bare(call) not in named]
    lines = [
        "# What /v1 supports",
        "",
        "Made by `docs/make_support_sendara.py`, which puts each field of `POST /v1/send` through the parser and looks the calls up among the endpoints.",
        "",
        "| field of POST /v1/send | |",
        "|---|---|",
        *(f"| `{path}` | {verdict(path, value)} |" for path, value in FIELDS),
        "",
        "| call | |",
        "|---|---|",
        *(f"| `{call}` | {told} |" for call, told in rows),
        "",
    ]
    return "\n".join(lines)


PAGE: Final = Path(__file__).with_name("support-sendara.md")

if __name__ == "__main__":
    PAGE.write_text(table(), "utf-8")
