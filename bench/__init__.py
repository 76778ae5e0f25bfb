"""Benchmarks: each prints what it did, and a ratio against a yardstick measured in the same run."""
