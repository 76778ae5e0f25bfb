"""What a process brings along: clock, entropy, log, metrics."""
