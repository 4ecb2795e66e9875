"""Usage readings: their shape, their checks, and the envelope they travel in."""
