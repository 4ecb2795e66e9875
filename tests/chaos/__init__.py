"""The fault harness of usage: real processes under kills, pauses and restarts; in the end every second is billed once.

Run it by `make chaos` or `python -m tests.chaos --help`; what it has shown is in docs/reliability.md.
"""
