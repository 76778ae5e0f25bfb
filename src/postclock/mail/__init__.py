"""Bytes of a message: headers, bodies, templates, signatures. Pure: no I/O, no clock, no randomness."""
