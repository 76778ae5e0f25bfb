"""``python -m postclock``."""

from postclock.cli.main import run

run()
