"""Bills by group, and the credits as the public API shows them: purchases."""
