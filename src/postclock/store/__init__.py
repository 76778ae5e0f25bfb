"""Rows and transactions: what is promised is written here, before anybody is told."""
