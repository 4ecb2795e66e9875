"""Statements: what a billing account was charged and credited in a month; once closed, never another."""
