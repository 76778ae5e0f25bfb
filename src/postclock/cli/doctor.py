"""``postclock doctor``: what is wrong here, and how to mend it. It changes nothing."""

import asyncio
from enum import StrEnum
from pathlib import Path

import msgspec
import typer

from postclock.assembly import KEY_FILE, ask_dns, greet_relay, secret_key
from postclock.cli.command import AsJson, Config, settings_of, told
from postclock.cli.output import moment, say
from postclock.core.clock import Clock
from postclock.core.errors import PostclockError
from postclock.runtime import kernel_clock
from postclock.runtime.clock import SystemClock
from postclock.runtime.disk import ACCEPT_BELOW, DEPART_BELOW, DiskWatch
from postclock.runtime.seal import Seal
from postclock.settings import Settings
from postclock.store.inspection import Inspection
from postclock.store.views import Overview
from postclock.stores import CannotStart, inspect_data, is_shared, open_data

BUILT_MS = 1_793_000_000_000
"""Some moment before this was written (October 2026): a clock that shows an earlier one is wrong."""
STEP_SECONDS = 0.5
"""How far the wall clock may leave the monotonic one while doctor looks (slewing stays below 0.1 % of that time)."""
LATE_MS = 60_000
"""Mail that is due for longer than this waits for a reason."""


class Status(StrEnum):
    """``note``: worth knowing, nothing to do at once."""

    ok = "ok"
    note = "note"
    problem = "problem"


class Finding(msgspec.Struct, frozen=True):
    """One thing looked at. ``mend`` says what to do about a note or a problem."""

    name: str
    status: Status
    what: str
    mend: str = ""


def doctor(config: Config = None, as_json: AsJson = False) -> None:
    """Say what is wrong and how to mend it; exit status 1 when there is a problem."""
    with told():
        settings = settings_of(config)
        findings = asyncio.run(_look(settings, SystemClock()))
    healthy = all(f.status is not Status.problem for f in findings)
    lines = []
    for f in findings:
        lines.append(f"{f.status:8} {f.name}: {f.what}")
        if f.mend:
            lines.append(f"         {f.mend}")
    say({"ok": healthy, "checks": [msgspec.to_builtins(f) for f in findings]}, *lines, as_json=as_json)
    if not healthy:
        raise typer.Exit(1)


async def _look(settings: Settings, clock: Clock) -> list[Finding]:
    wall, hand = clock.now_ms(), clock.monotonic()
    found = inspect_data(settings, thorough=True)
    usable = found.there and found.trouble is None and not found.faults and found.fits
    findings = [
        *check_folder(settings),
        check_disk(settings, clock),
        check_store(found, shared=is_shared(settings)),
        *([check_secret(settings, found)] if found.key_check is not None else []),
        *([check_queue(await _overview(settings), clock.now_ms())] if usable else []),
        await _dns(settings),
        *([await _relay(settings, clock)] if "://" in settings.courier else []),
    ]
    drift = (clock.now_ms() - wall) / 1000 - (clock.monotonic() - hand)
    return [check_clock(clock.now_ms(), drift, found.last_beat_at, kernel_clock.is_kept()), *findings]


def check_clock(now_ms: int, drift: float, last_beat_at: int | None, kept: bool | None) -> Finding:
    """``drift``: seconds that the wall clock went ahead of the monotonic one while doctor looked."""
    mend = "Set the clock and keep it right (chrony, systemd-timesyncd): mail leaves by it."
    if now_ms < BUILT_MS:
        return Finding("clock", Status.problem, f"it shows {moment(now_ms)}, which is past", mend)
    if last_beat_at is not None and now_ms < last_beat_at - LATE_MS:
        return Finding(
            "clock", Status.problem, f"it shows {moment(now_ms)}, but a service ran at {moment(last_beat_at)}", mend
        )
    if abs(drift) > STEP_SECONDS:
        return Finding("clock", Status.problem, f"it jumped by {drift:.1f} s while being looked at", mend)
    if kept is False:
        return Finding("clock", Status.note, f"{moment(now_ms)}; the kernel does not know it to be kept by NTP", mend)
    return Finding("clock", Status.ok, f"{moment(now_ms)}")


def check_folder(settings: Settings) -> list[Finding]:
    """The data folder and the key file in it: there, and nobody else's business."""
    folder = settings.data
    if not folder.exists():
        return [
            Finding("data folder", Status.note, f"{folder} is not there yet", "The first start of `postclock serve` makes it.")
        ]  # fmt: skip
    return [
        _private("data folder", folder, 0o700),
        *([_private("key file", folder / KEY_FILE, 0o600)] if (folder / KEY_FILE).exists() else []),
    ]


def _private(name: str, path: Path, mode: int) -> Finding:
    found = path.stat().st_mode & 0o777
    if found & ~mode:
        return Finding(name, Status.problem, f"{path} has mode {found:04o}", f"chmod {mode:04o} {path}")
    return Finding(name, Status.ok, str(path))


def check_disk(settings: Settings, clock: Clock) -> Finding:
    """Free room where the data is, or will be."""
    folder = settings.data
    while not folder.exists() and folder != folder.parent:
        folder = folder.parent
    free = DiskWatch(folder, clock).free()
    mebibytes = f"{free // 2**20} MiB free"
    if free < DEPART_BELOW:
        return Finding("disk", Status.problem, f"{mebibytes}: nothing departs", "Make room.")
    if free < ACCEPT_BELOW:
        return Finding("disk", Status.problem, f"{mebibytes}: nothing is accepted", "Make room.")
    return Finding("disk", Status.ok, mebibytes)


def check_store(found: Inspection, *, shared: bool = False) -> Finding:
    """The store opens, is whole and has a schema that fits."""
    if found.trouble is not None:
        mend = "See whether the server runs, and POSTCLOCK_STORE." if shared else "Restore a backup."
        return Finding("database", Status.problem, f"it cannot be opened: {found.trouble}", mend)
    if not found.there:
        mend = "Run `postclock migrate`." if shared else "The first start of `postclock serve` makes it."
        return Finding("database", Status.note, "there is none yet", mend)
    if found.faults:
        more = f" (and {len(found.faults) - 1} more)" if len(found.faults) > 1 else ""
        return Finding("database", Status.problem, f"it is damaged: {found.faults[0]}{more}", "Restore a backup.")
    if found.oldest_app > found.newest:
        return Finding(
            "database",
            Status.problem,
            f"it needs schema {found.oldest_app}, this Postclock brings {found.newest}",
            "Use a newer Postclock.",
        )
    if not found.fits:
        return Finding(
            "database", Status.problem, f"schema {found.version}, {found.newest} is there", "Run `postclock migrate`."
        )
    return Finding("database", Status.ok, f"schema {found.version}, whole")


def check_secret(settings: Settings, found: Inspection) -> Finding:
    """The secret key is the one that the store was written under."""
    mend = "Bring back the key that belongs to this store: POSTCLOCK_SECRET_KEY, or secret.key in the data folder."
    if not settings.secret_key and not (settings.data / KEY_FILE).exists():
        return Finding("secret key", Status.problem, "there is none", mend)
    try:
        key = secret_key(settings)
    except (PostclockError, OSError) as error:
        return Finding("secret key", Status.problem, str(error), mend)
    if Seal(key).check_value() != found.key_check:
        return Finding("secret key", Status.problem, "it is not the one this store was written under", mend)
    return Finding("secret key", Status.ok, "it is the store's")


def check_queue(overview: Overview, now_ms: int) -> Finding:
    """Nothing is late, parked or uncertain."""
    state = f"{overview.waiting} wait, {overview.parked} parked, {overview.uncertain} uncertain"
    if overview.oldest_due is not None and overview.oldest_due < now_ms - LATE_MS:
        return Finding(
            "queue",
            Status.problem,
            f"{state}; the oldest is due since {moment(overview.oldest_due)}",
            "See whether `postclock serve` runs and what its log says; `postclock queue` shows where it waits.",
        )
    if overview.parked or overview.uncertain:
        return Finding(
            "queue", Status.note, state, "See `postclock queue`; parked mail waits for `queue release` or `queue drop`."
        )
    return Finding("queue", Status.ok, state)


async def _overview(settings: Settings) -> Overview:
    store = open_data(settings)
    try:
        return await store.overview()
    finally:
        store.close()


async def _dns(settings: Settings) -> Finding:
    try:
        server = await ask_dns(settings)
    except PostclockError as error:
        return Finding("DNS", Status.problem, str(error), "Name a resolver that answers: POSTCLOCK_DNS=host:port.")
    return Finding("DNS", Status.ok, f"{server} answers")


async def _relay(settings: Settings, clock: Clock) -> Finding:
    try:
        relay = await greet_relay(settings, clock)
    except CannotStart as error:
        return Finding("relay", Status.problem, str(error), "Correct POSTCLOCK_COURIER.")
    except PostclockError as error:
        return Finding("relay", Status.problem, str(error), "See whether the relay runs, and POSTCLOCK_COURIER.")
    return Finding("relay", Status.ok, f"{relay} takes the conversation")
