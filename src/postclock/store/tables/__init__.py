"""What is no step of the ledger, written once: the slow tables and all reading. Backends bring the desk it works at."""
