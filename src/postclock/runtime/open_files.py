"""Open files: connections of callers, relays and webhooks are files too, and systems begin with 1,024 of them for old programs' sake."""

import contextlib
import resource


def allow_all() -> int:
    """Raise this process's limit as far as it may by itself; the limit that holds now."""
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    if soft != hard:
        with contextlib.suppress(ValueError, OSError):  # some systems name a hard limit that they do not grant
            resource.setrlimit(resource.RLIMIT_NOFILE, (hard, hard))
    return resource.getrlimit(resource.RLIMIT_NOFILE)[0]
