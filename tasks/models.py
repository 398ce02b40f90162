"""Turns without a client."""
