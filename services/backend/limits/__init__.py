"""Limits of API keys, projects and billing accounts: what may be set, by whom, and how much of it is used."""
