"""Readers of classifier checkpoints."""
