"""What is sealed in the store, by purpose: each purpose has a sub-key of its own, and all are wrapped anew with the secret key."""

from typing import Final

DKIM: Final = "dkim"
"""Private DKIM keys."""
WEBHOOK: Final = "webhook"
"""Secrets and private keys that posts to webhooks are signed with."""
