"""What the engine reads beside its claims: the content of mail, and what a tenant's mail is prepared from."""

from collections.abc import Iterator, Mapping, Sequence
from typing import Final

import msgspec

from postclock.core.account import TenantSettings
from postclock.core.message import Submission, redacted
from postclock.core.sending_domain import SealedKey
from postclock.core.template import TemplateVersion
from postclock.store.queries import load
from postclock.store.tables.desk import Desk, Run, Writing
from postclock.store.tables.version_rows import VERSION_COLUMNS, version_from
from postclock.store.views import TenantContext

SQL: Final = {
    name: sql.replace("{columns}", VERSION_COLUMNS)
    for name, sql in load("postclock.store.tables.sql", "engine").items()
}
REDACTED_OCTETS: Final = 8 << 20
"""Content that is read at once to be forgotten: each of some hundred mails may have megabytes."""
_Sent = tuple[int, int, int]
"""(message, week, submission)."""
_encode = msgspec.msgpack.Encoder().encode
_submission = msgspec.msgpack.Decoder(Submission).decode
_settings = msgspec.msgpack.Decoder(TenantSettings).decode


class LedgerReading:
    """The part of store.interface.Ledger that only reads."""

    def __init__(self, desk: Desk) -> None:
        self._desk = desk

    async def submissions(self, idents: Sequence[int]) -> Mapping[int, bytes]:
        """See Ledger."""

        def read(run: Run) -> dict[int, bytes]:
            return {i: row[0] for i in idents for row in run(SQL["submission"], (i,))}

        return await self._desk.read(read)

    async def context(self, tenant: int) -> TenantContext:
        """See Ledger."""
        return await self._desk.read(lambda run: _context(run, tenant))

    async def template_version(self, tenant: int, version: int) -> TemplateVersion | None:
        """See Ledger."""

        def read(run: Run) -> TemplateVersion | None:
            found = run(SQL["version"], (version, tenant))
            return version_from(found[0]) if found else None

        return await self._desk.read(read)

    async def redact(self, limit: int) -> int:
        """See Ledger."""
        found = await self._desk.read(lambda run: run(SQL["to_redact"], (limit,)))
        still, done = self._desk.words.fill(SQL["still_to_redact"]), 0
        for part in _parts(
            [(message, week, submission) for message, week, submission, _ in found], [r[3] for r in found]
        ):
            contents = await self.submissions([submission for _, _, submission in part])
            bare = {ident: _encode(redacted(_submission(content))) for ident, content in contents.items()}

            def job(tx: Writing, part: Sequence[_Sent] = part, bare: Mapping[int, bytes] = bare) -> int:
                free = [sent for sent in part if tx.one(still, sent[:2])]
                for message, week, submission in free:
                    tx.do(SQL["redact_message"], (message, week))
                    if submission in bare:
                        tx.do(SQL["redact_submission"], (bare[submission], submission))
                return len(free)

            done += await self._desk.write(job, len(part), bulk=True)
        return done

    async def blob(self, tenant: int, sha256: str) -> bytes | None:
        """See Ledger."""

        def read(run: Run) -> bytes | None:
            found = run(SQL["blob"], (tenant, bytes.fromhex(sha256)))
            return found[0][0] if found else None

        return await self._desk.read(read)


def _parts(found: Sequence[_Sent], octets: Sequence[int | None]) -> Iterator[list[_Sent]]:
    """What is read into memory at once: as much as fits, one at the least."""
    part: list[_Sent] = []
    left = REDACTED_OCTETS
    for sent, size in zip(found, octets, strict=True):
        left -= size or 0
        if part and left < 0:
            yield part
            part, left = [], REDACTED_OCTETS - (size or 0)
        part.append(sent)
    if part:
        yield part


def _context(run: Run, tenant: int) -> TenantContext:
    (status, revision, settings) = run(SQL["tenant"], (tenant,))[0]
    keys: dict[str, tuple[SealedKey, ...]] = {}
    from_names: dict[str, str] = {}
    for domain, from_name in run(SQL["domains"], (tenant,)):
        if from_name:
            from_names[domain] = from_name
        sealed = (
            SealedKey(
                id=r[0], domain=domain, selector=r[1], algorithm=r[2], sealed=r[3], record=r[4], published_at=r[5]
            )
            for r in run(SQL["keys"], (tenant, domain))
        )
        keys[domain] = tuple(key for key in sealed if key.signs)
    templates: dict[str, TemplateVersion | None] = {row[0]: None for row in run(SQL["templates"], (tenant,))}
    for row in run(SQL["active"], (tenant,)):
        version = version_from(row)
        if version.template in templates:
            templates[version.template] = version
    return TenantContext(
        tenant=tenant,
        revision=revision,
        suspended=status != 0,
        settings=_settings(settings),
        keys=keys,
        from_names=from_names,
        templates=templates,
    )
