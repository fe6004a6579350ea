"""Attacks that look for the nearest image that fools."""
