"""The Pulumi components, one a file."""
