"""The Platform API: accounts, projects, keys, limits, usage; the publisher and key_sync beside it."""
