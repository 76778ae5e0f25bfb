"""The shapes of the slow resources of /v3 as they stand in the JSON: what is sent in, what is answered (ScaiSend's documentation).

Only shapes; lengths and rules are the services'. Times are ISO 8601 in UTC with Z, save ``created`` of a suppression: Unix seconds.
"""

from typing import Literal

import msgspec

from postclock.core.message import Mode
from postclock.core.suppression import BounceType
from postclock.core.template import Editor, VersionedGeneration

# API keys and scopes


class NewKey(msgspec.Struct, kw_only=True):
    """A key to be made. ``read_messages`` false: it may not read messages, which ScaiSend's keys may otherwise."""

    name: str
    environment: Mode | None = None
    scopes: list[str] | None = None
    expires_at: str | None = None
    read_messages: bool | None = None


class KeyChange(msgspec.Struct, kw_only=True):
    """What changes about a key; absent stays. ``scopes`` replaces all of them but ``messages.read``."""

    name: str | None = None
    scopes: list[str] | None = None
    read_messages: bool | None = None


class KeyAnswer(msgspec.Struct, frozen=True, kw_only=True):
    """A key without its secret."""

    id: str
    name: str
    prefix: str
    environment: Mode
    scopes: list[str]
    created_at: str
    last_used_at: str | None
    expires_at: str | None
    revoked_at: str | None


class KeyMadeAnswer(msgspec.Struct, frozen=True, kw_only=True):
    """A key with its secret, ``api_key``: shown this once."""

    id: str
    name: str
    api_key: str
    prefix: str
    environment: Mode
    scopes: list[str]
    created_at: str
    expires_at: str | None


class KeyList(msgspec.Struct, frozen=True):
    """All keys."""

    api_keys: list[KeyAnswer]


class ScopeList(msgspec.Struct, frozen=True):
    """``scopes``: all that there are. ``held``: those of the key that asks."""

    scopes: list[str]
    held: list[str]


# Templates


class NewTemplate(msgspec.Struct, kw_only=True):
    """A template to be made. ``id`` may be chosen: ``d-`` and up to 62 letters, digits, hyphens or underscores."""

    name: str
    generation: VersionedGeneration | None = None
    id: str | None = None


class Rename(msgspec.Struct, kw_only=True):
    """A new name."""

    name: str


class CopyName(msgspec.Struct, kw_only=True):
    """The name of a copy; without one it is made from the original's."""

    name: str | None = None


class NewVersion(msgspec.Struct, kw_only=True):
    """A version to be made. Without ``plain_content`` it is made from the HTML."""

    name: str
    subject: str | None = None
    preheader: str | None = None
    html_content: str | None = None
    plain_content: str | None = None
    editor: Editor | None = None
    active: Literal[0, 1] | None = None


class VersionChange(msgspec.Struct, kw_only=True):
    """What changes about a version; absent stays. An empty ``plain_content`` is made from the HTML again."""

    name: str | None = None
    subject: str | None = None
    preheader: str | None = None
    html_content: str | None = None
    plain_content: str | None = None
    editor: Editor | None = None
    active: Literal[0, 1] | None = None


class VersionBrief(msgspec.Struct, frozen=True, kw_only=True):
    """A version as it stands in a list of templates: without its bodies."""

    id: str
    template_id: str
    name: str
    subject: str
    active: Literal[0, 1]
    editor: Editor
    created_at: str
    updated_at: str


class VersionAnswer(msgspec.Struct, frozen=True, kw_only=True):
    """A version."""

    id: str
    template_id: str
    name: str
    subject: str
    active: Literal[0, 1]
    html_content: str
    plain_content: str
    preheader: str
    editor: Editor
    created_at: str
    updated_at: str


class TemplateBrief(msgspec.Struct, frozen=True, kw_only=True):
    """A template in a list."""

    id: str
    name: str
    generation: VersionedGeneration
    created_at: str
    updated_at: str
    versions: list[VersionBrief]


class TemplateAnswer(msgspec.Struct, frozen=True, kw_only=True):
    """A template with its versions."""

    id: str
    name: str
    generation: VersionedGeneration
    created_at: str
    updated_at: str
    versions: list[VersionAnswer]


class TemplateList(msgspec.Struct, frozen=True):
    """Templates, newest first."""

    result: list[TemplateBrief]


class VersionList(msgspec.Struct, frozen=True):
    """A template's versions, oldest first."""

    versions: list[VersionAnswer]


# Suppressions


class NewBounce(msgspec.Struct, kw_only=True):
    """An address to be suppressed by hand."""

    email: str
    bounce_type: BounceType | None = None
    reason: str | None = None


class BounceAnswer(msgspec.Struct, frozen=True, kw_only=True):
    """An entry of the bounce list; ``created`` in Unix seconds, ``status`` the enhanced status code where one is known."""

    email: str
    created: int
    reason: str
    bounce_type: str
    status: str


class BounceList(msgspec.Struct, frozen=True):
    """A part of the bounce list, newest first; ``total`` counts all that match."""

    bounces: list[BounceAnswer]
    total: int
