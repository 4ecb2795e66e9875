"""Members of projects: their roles, and the invites by which people become members."""
