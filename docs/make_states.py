"""Writes docs/states.md from the tables of core/lifecycle.py: ``python docs/make_states.py``; with ``--check`` it only compares.

A test holds the file to what is written here.
"""

import sys
from collections.abc import Iterable
from pathlib import Path
from typing import Final

from postclock.api.scaisend.message_shapes import COUNTED, SHOWN
from postclock.core import lifecycle
from postclock.core.lifecycle import FOLD, RULES, Exposure, Rule, State, Step

PAGE: Final = Path(__file__).with_name("states.md")

SETS: Final = {
    "WAITING": "waits for its time",
    "CLAIMABLE": "may be claimed",
    "CANCELLABLE": "may be cancelled, unless exposed",
    "OWNED": "may have an owner",
    "HELD": "has a queue row",
    "SETTLED": "what ends a batch",
}

INTRO: Final = """# States

Made from the tables in `src/postclock/core/lifecycle.py` by `docs/make_states.py`; do not edit.

A message is folded from its recipients. A **claim** (owner, attempt) is the right to write the result of one run. **Depart** is
durable before the first byte of DATA; **cancel** is one atomic step against it. **Exposed** means that somebody may already
have the mail; it is never unset, and from then on nobody is told "cancelled".
"""


def words(states: Iterable[State]) -> str:
    """The states by name, in their order; a dash for none."""
    return ", ".join(s.name for s in sorted(states)) or "-"


def origins(rule: Rule) -> str:
    """Where a step may start, with what must hold there."""
    told = []
    for state in sorted(rule.sources):
        notes = ["owner dead"] * (state in rule.dead_owner) + ["if exposed"] * (state in rule.only_exposed)
        told.append(state.name + (f" ({', '.join(notes)})" if notes else ""))
    return ", ".join(told) or "-"


def is_unchanged(rule: Rule) -> bool:
    """Whether the step leaves the state as it is."""
    return rule.sources == rule.targets


def conditions(rule: Rule) -> str:
    """The conditions of a step in one cell."""
    parts = [rule.condition]
    if rule.scoped:
        parts.append("the write names its claim")
    if rule.exposure is not Exposure.any:
        parts.append(f"only when {rule.exposure.value}")
    if rule.exposes:
        parts.append(f"sets exposed: {rule.exposes}")
    return "; ".join(part for part in parts if part)


def table(header: tuple[str, ...], rows: Iterable[tuple[str, ...]]) -> str:
    """A table in Markdown."""
    lines = [f"| {' | '.join(header)} |", "|" + "---|" * len(header)]
    lines += [f"| {' | '.join(cell.replace('|', '/') for cell in row)} |" for row in rows]
    return "\n".join(lines)


def diagram() -> str:
    """The steps that change a state, as a Mermaid state diagram; steps between the same two states share an arrow."""
    arrows: dict[tuple[str, str], list[str]] = {}
    for step, rule in RULES.items():
        if is_unchanged(rule):
            continue
        origin: Iterable[State | None] = sorted(rule.sources) or [None]
        for source in origin:
            for target in sorted(rule.targets):
                if source is not target:
                    key = ("[*]" if source is None else source.name, target.name)
                    arrows.setdefault(key, []).append(step.value)
    lines = ["```mermaid", "stateDiagram-v2"]
    lines += [f"    {a} --> {b} : {', '.join(steps)}" for (a, b), steps in arrows.items()]
    lines += [f"    {s.name} --> [*]" for s in sorted(lifecycle.SETTLED)]
    return "\n".join([*lines, "```"])


def page() -> str:
    """The whole of docs/states.md."""
    steps = (
        (step.value, origins(r), "unchanged" if is_unchanged(r) else words(r.targets), r.who, conditions(r))
        for step, r in _ordered()
    )
    sets = ((f"`{name}`", words(getattr(lifecycle, name)), meaning) for name, meaning in SETS.items())
    return "\n".join(
        (
            INTRO,
            "## Steps\n",
            table(("step", "from", "to", "who", "condition"), steps),
            "\n## Diagram\n",
            diagram(),
            "\n## Sets\n",
            table(("set", "states", "meaning"), sets),
            "\n## The fold\n",
            "The first row that applies to any recipient names the message's state.\n",
            table(("any recipient", "message"), ((r.name.replace("_", " "), s.name) for r, s in FOLD)),
            "\n## What /v3 shows and counts\n",
            table(("state", "shown as", "counted in a batch as"), ((s.name, SHOWN[s], COUNTED[s]) for s in State)),
            "",
        )
    )


def _ordered() -> Iterable[tuple[Step, Rule]]:
    return ((step, RULES[step]) for step in Step)


def main(arguments: list[str]) -> int:
    """Write the page, or with ``--check`` say whether it is current."""
    if "--check" not in arguments:
        PAGE.write_text(page(), "utf-8")
        return 0
    if PAGE.is_file() and PAGE.read_text("utf-8") == page():
        return 0
    sys.stderr.write("docs/states.md is not current: run docs/make_states.py\n")
    return 1


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
