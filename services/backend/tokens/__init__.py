"""Short-lived tokens: transcription for clients that must not hold a key or a session."""
