"""Measurements of this platform beside its peers; each is a program of its own, `make help` lists them."""
