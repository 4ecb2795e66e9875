"""Seeded requests of strangers against every service; see `tests.fuzz.run`."""
