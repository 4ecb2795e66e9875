"""Short-lived tokens: transcription for whoever must not hold a key or a session."""
