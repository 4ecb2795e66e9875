"""What the API offers: models, the names that usage and bills can be narrowed down to, and what is not offered."""
