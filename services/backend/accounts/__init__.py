"""Accounts: people, their passwords and sessions."""
