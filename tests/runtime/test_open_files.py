"""As many open files as the system grants."""

import subprocess
import sys

CHILD = """
import resource
from postclock.runtime.open_files import allow_all
resource.setrlimit(resource.RLIMIT_NOFILE, (200, 300))
print(allow_all(), allow_all())
"""


def test_the_limit_is_raised_as_far_as_it_may_be() -> None:
    """From what shells begin with to what the operator allows; a second time changes nothing."""
    done = subprocess.run([sys.executable, "-c", CHILD], capture_output=True, text=True, timeout=60, check=True)
    assert done.stdout.split() == ["300", "300"]
