"""The ground floor: words, states and rules. No I/O, no clock, no randomness, no logging."""
