"""What everybody may know of the platform's health: the canary's runs, the objectives, and incidents."""
