"""Credentials and projects from PostgreSQL to Redis: written, announced, repeated until they are there."""
