"""What one mail may cost to render: work and size, counted down while the tree runs.

Templates and their data come from outside; a loop in a loop over long lists is written in a minute and runs for hours.
"""

from typing import Final

from postclock.mail.template.errors import PlacedError

MAX_STEPS: Final = 400_000  # some 0.3 s of work; a long digest (1,000 rows of 20 values) takes 50,000
MAX_OUTPUT: Final = 10 * 1024 * 1024  # bytes of UTF-8; no relay of note takes a larger mail
STEP_CHARACTERS: Final = 1024  # comparing this many characters costs about as much as one step


class Budget:
    """What is left: ``steps`` (tags run, names looked up, list items) and ``output`` (bytes of UTF-8).

    One budget may be spent on several templates one after the other; once overdrawn it stays so.
    """

    __slots__ = ("output", "steps")

    def __init__(self, steps: int = MAX_STEPS, output: int = MAX_OUTPUT) -> None:
        self.steps, self.output = steps, output

    def spend(self, steps: int, offset: int) -> None:
        """Takes ``steps`` away; PlacedError at ``offset`` when none are left."""
        self.steps -= steps
        if self.steps < 0:
            raise self.overdrawn(offset)

    def overdrawn(self, offset: int) -> PlacedError:
        """The fault that names what ran out."""
        if self.steps < 0:
            return PlacedError("the template takes too many steps to render", offset)
        return PlacedError("the rendered template is too large", offset)
