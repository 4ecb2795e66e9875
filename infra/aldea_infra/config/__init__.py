"""A stack's configuration: read, validated, frozen."""
