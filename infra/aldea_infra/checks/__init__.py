"""Rules that AWS states only in prose, and our own: run over the whole graph before a deployment."""
