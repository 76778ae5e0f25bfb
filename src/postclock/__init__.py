"""Postclock: a self-hosted mail service whose heart is the schedule."""

__version__ = "0.1.0"
