"""The worker that merges usage readings from the queue into PostgreSQL, each second billed once."""
