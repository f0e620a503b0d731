"""Verifying that nobody changed a log."""
