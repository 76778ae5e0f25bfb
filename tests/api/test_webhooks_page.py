"""docs/webhooks.md is true: its tables are the tables of the code, and its recipes take what we post."""

import re
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from postclock.api.scaisend.event_body import post as scaisend_post
from postclock.api.sendara.event_body import post as sendara_post
from postclock.api.sendara.words import SHOWN_AS, SHOWN_OF_TEST
from postclock.core.webhook import PROMISED, TIMELINE, Secrets
from postclock.mail.webhook_signature import new_signing_key, public_key
from postclock.service.webhooks import MAX_WEBHOOKS
from tests.api.test_event_bodies import WEBHOOK, posted, told

PAGE = (Path(__file__).parents[2] / "docs" / "webhooks.md").read_text("utf-8")


def recipe(holds: str) -> str:
    """The one Python sample of the page that holds this."""
    [found] = [block for block in re.findall(r"```python\n(.*?)```", PAGE, re.DOTALL) if holds in block]
    return str(found)


def test_the_table_of_events_is_the_one_in_force() -> None:
    """Every type once, ScaiSend's twelve first, each with /v1's word."""
    rows = [
        (re.findall(r"`(\w+)`", cells[1]), re.findall(r"`(\w+)`", cells[2]))
        for line in PAGE.partition("## Events")[2].partition("###")[0].splitlines()
        if line.startswith("| `")
        for cells in [line.split("|")]
    ]
    shown = {kind: words for kinds, words in rows for kind in kinds}
    assert set(shown) == set(TIMELINE)
    assert list(shown)[: len(PROMISED)] == list(PROMISED)
    for kind in TIMELINE:
        expected = [word for word in (SHOWN_AS[kind], SHOWN_OF_TEST.get(kind)) if word is not None]
        assert shown[kind] == expected, kind
    assert f"{MAX_WEBHOOKS} endpoints" in PAGE


@pytest.fixture
def is_ours() -> Callable[..., bool]:
    """The recipe for endpoints of /v3, as the page has it."""
    names: dict[str, Any] = {}
    exec(recipe("def is_ours"), names)
    found: Callable[..., bool] = names["is_ours"]
    return found


def test_the_recipe_for_endpoints(is_ours: Callable[..., bool]) -> None:
    """It takes what we post now, and neither a changed body nor what is ten minutes old."""
    now = int(time.time()) * 1000  # the recipe looks at the real clock
    secrets = Secrets(secret="whsec_abc")
    post = scaisend_post(WEBHOOK, [told()], secrets, now)
    assert is_ours("whsec_abc", dict(post.headers), post.body)
    assert not is_ours("whsec_abc", dict(post.headers), post.body + b" ")
    old = scaisend_post(WEBHOOK, [told()], secrets, now - 600_000)
    assert not is_ours("whsec_abc", dict(old.headers), old.body)


def test_the_recipe_for_v1() -> None:
    """Sendara's library, with the raw body and the headers."""
    now = int(time.time()) * 1000  # the library looks at the real clock
    post = sendara_post(told(), Secrets(secret="abc"), now)
    names: dict[str, Any] = {"secret": "abc", "body": post.body, "headers": dict(post.headers)}
    exec(recipe("import verify"), names)
    assert names["event"]["event_type"] == "delivered"


def test_the_recipe_for_the_event_webhook() -> None:
    """SendGrid's library, with the public key from the settings."""
    private = new_signing_key()
    post = posted("event_settings", [told()], signing_key=private)
    sample = recipe("EventWebhook(public_key)").replace(
        "EventWebhook(public_key).", "taken = EventWebhook(public_key)."
    )
    names: dict[str, Any] = {"public_key": public_key(private), "body": post.body, "headers": dict(post.headers)}
    exec(sample, names)
    assert names["taken"] is True
