"""The proof that a log is whole."""
