"""molecule-approve: ask a person first, and let the exit code answer."""

__version__ = "0.1.0"
