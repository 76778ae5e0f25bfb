"""The ledger's steps, written once: what each does to rows, counts and timeline. Backends bring the transaction they run in."""
