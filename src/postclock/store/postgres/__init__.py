"""The store on PostgreSQL: when one machine is too small. Any number of processes on any number of machines work on it."""
