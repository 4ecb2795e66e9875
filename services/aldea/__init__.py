"""Shared library of the platform's services: only what two of them or more need."""
