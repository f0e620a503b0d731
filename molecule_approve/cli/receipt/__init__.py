"""The commands of ``receipt``."""
