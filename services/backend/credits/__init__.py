"""What projects are credited with: granted by operators, never changed, each id once."""
