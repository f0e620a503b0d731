"""The family of ``hook``."""
