"""Who changed what and when: written with the change itself, readable by a project's owners."""
