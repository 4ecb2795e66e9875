"""Projects: the tenants. Limits, state, and what of them Redis mirrors."""
