"""API keys: minted, hashed, mirrored to Redis, revoked, rotated."""
