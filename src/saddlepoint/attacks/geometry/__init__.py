"""Exact answers about half-spaces, proximal maps and pairs of features; no attack is in here."""
