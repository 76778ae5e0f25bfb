"""The Handlebars of SendGrid's dynamic templates, safe with templates and data from strangers.

A message with a template passes here between take-over and composition: subject, text and HTML are each rendered with
the personalization's data. Nothing here reads attributes, generates code or does I/O; work and size are bounded.
"""

from postclock.mail.template.budget import MAX_OUTPUT, MAX_STEPS, Budget
from postclock.mail.template.compiled import Template, compile_template
from postclock.mail.template.errors import TemplateError

__all__ = ["MAX_OUTPUT", "MAX_STEPS", "Budget", "Template", "TemplateError", "compile_template"]
