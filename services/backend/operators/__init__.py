"""What the platform's operators do: look after all projects, change limits, suspend and resume."""
