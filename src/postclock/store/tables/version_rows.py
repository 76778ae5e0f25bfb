"""How a template version lies in its row."""

from typing import Any, Final

import msgspec

from postclock.core.template import TemplateVersion, Variable

VERSION_COLUMNS: Final = "id, template, name, subject, preheader, html, plain, plain_given, editor, active, created_at, updated_at, number, variables, document"
_variables: Final = msgspec.json.Decoder(tuple[Variable, ...])
_text: Final = msgspec.json.Encoder()
_NONE: Final = "[]"


def version_from(row: tuple[Any, ...]) -> TemplateVersion:
    """The record in a row of VERSION_COLUMNS."""
    return TemplateVersion(
        id=row[0], template=row[1], name=row[2], subject=row[3], preheader=row[4], html=row[5], plain=row[6], plain_given=bool(row[7]),
        editor=row[8], active=bool(row[9]), created_at=row[10], updated_at=row[11], number=row[12],
        variables=() if row[13] == _NONE else _variables.decode(row[13]), document=row[14],
    )  # fmt: skip


def values_of(version: TemplateVersion) -> tuple[Any, ...]:
    """The record as the values of VERSION_COLUMNS."""
    return (
        version.id, version.template, version.name, version.subject, version.preheader, version.html, version.plain, int(version.plain_given),
        version.editor, int(version.active), version.created_at, version.updated_at, version.number,
        _text.encode(version.variables).decode() if version.variables else _NONE, version.document,
    )  # fmt: skip
