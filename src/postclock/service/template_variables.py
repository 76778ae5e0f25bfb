"""A simple template before it is sent: whether it makes a mail, with the variables given. Asked at acceptance, so that the caller hears of it."""

from collections.abc import Mapping
from typing import Any

from postclock.core.errors import Unprocessable
from postclock.core.template import TemplateVersion
from postclock.mail.simple_template import Values


def check(version: TemplateVersion, given: Mapping[str, Any]) -> None:
    """Raises MissingVariable, with the variable's name, and Unprocessable when the template has no subject or no body.

    A template in Handlebars takes whatever there is.
    """
    if not version.simple:
        return
    Values(version.variables, given)
    missing = "subject" if not version.subject.strip() else "body" if not (version.html or version.plain) else ""
    if missing:
        raise Unprocessable(f"The template {version.template} has no {missing}: give it one first.", "template_id")
