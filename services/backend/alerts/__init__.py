"""Alerts: what customers are notified of before or when it happens, by webhook and mail, each once."""
