"""What runs right now: a project's requests, and the platform's by lane."""
