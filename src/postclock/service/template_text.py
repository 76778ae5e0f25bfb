"""The words of a template version before they are stored: bounded, compiled for a trial, and the plain text made from the HTML.

A template that cannot be compiled is refused when it is written, with line and column, and not when its first mail is due.
"""

from typing import Final

import msgspec

from postclock.core.errors import FieldError, Invalid
from postclock.core.template import Generation, TemplateVersion
from postclock.mail.html_text import text_of
from postclock.mail.template import TemplateError, compile_template

MAX_NAME: Final = 255
MAX_SUBJECT: Final = 1_000
MAX_PREHEADER: Final = 500
MAX_BODY: Final = 1_048_576  # octets each of HTML and text: SendGrid's limit; mail programs cut far earlier

_ESCAPED: Final = {"html_content": True, "plain_content": False, "subject": False, "preheader": True}


def finished(version: TemplateVersion, generation: Generation) -> TemplateVersion:
    """The version as it is stored, its plain text made from the HTML when none was given.

    Raises Invalid naming every bad field; of a dynamic template also what does not compile. Takes up to a second for the largest: run
    it in a thread.
    """
    errors = _bounds(version)
    if not errors and generation == "dynamic":
        errors = _faults(version)
    if errors:
        raise Invalid(errors)
    if version.plain_given:
        return version
    plain = text_of(version.html)
    # Text made from HTML may lose half of a block that stood around a tag. Then the mail goes without a plain part.
    if generation == "dynamic" and _fault(plain, escape=False) is not None:
        plain = ""
    return msgspec.structs.replace(version, plain=plain)


def _bounds(version: TemplateVersion) -> list[FieldError]:
    errors = []
    if not 1 <= len(version.name.strip()) <= len(version.name) <= MAX_NAME:
        errors.append(FieldError(f"Must have 1 to {MAX_NAME} characters.", "name"))
    for field, text, most in (
        ("subject", version.subject, MAX_SUBJECT),
        ("preheader", version.preheader, MAX_PREHEADER),
    ):
        if len(text) > most:
            errors.append(FieldError(f"Must have at most {most:,} characters.", field))
    for field, text in (("html_content", version.html), ("plain_content", version.plain)):
        if len(text) > MAX_BODY or len(text.encode()) > MAX_BODY:
            errors.append(FieldError(f"Must have at most {MAX_BODY:,} octets.", field))
    return errors


def _faults(version: TemplateVersion) -> list[FieldError]:
    texts = {
        "subject": version.subject,
        "preheader": version.preheader,
        "html_content": version.html,
        "plain_content": version.plain if version.plain_given else "",
    }
    faults = ((field, _fault(text, escape=_ESCAPED[field])) for field, text in texts.items())
    return [FieldError(f"Not a template: {fault}", field) for field, fault in faults if fault is not None]


def _fault(text: str, *, escape: bool) -> TemplateError | None:
    try:
        compile_template(text, escape=escape)
    except TemplateError as fault:
        return fault
    return None
