"""``tracking_settings`` of mail/send: from the JSON into a submission, and from a submission back into what was sent."""

from typing import Any, Final

import msgspec

from postclock.api.findings import Findings
from postclock.api.scaisend import wire
from postclock.core.message import Submission

MAX_TAG: Final = 100  # characters; it is looked for in every mail


def with_tracking(submission: Submission, given: wire.TrackingSettings, findings: Findings) -> Submission:
    """The submission with what was said; what was not is the tenant's to say at hand-off."""
    clicks, opens = given.click_tracking or wire.ClickTracking(), given.open_tracking or wire.OpenTracking()
    tag = opens.substitution_tag or ""
    if len(tag) > MAX_TAG:
        findings.add_unless_known(
            "tracking_settings.open_tracking.substitution_tag", f"Longer than {MAX_TAG} characters."
        )
    return msgspec.structs.replace(
        submission,
        open_tracking=opens.enable,
        open_tag=tag,
        click_tracking=clicks.enable,
        click_text=clicks.enable_text,
    )


def tracking_as_sent(submission: Submission) -> dict[str, Any]:
    """The blocks with what was said in them."""
    blocks: dict[str, dict[str, Any]] = {
        "click_tracking": {"enable": submission.click_tracking, "enable_text": submission.click_text},
        "open_tracking": {"enable": submission.open_tracking, "substitution_tag": submission.open_tag or None},
    }
    said = {name: {k: v for k, v in block.items() if v is not None} for name, block in blocks.items()}
    return {name: block for name, block in said.items() if block}
