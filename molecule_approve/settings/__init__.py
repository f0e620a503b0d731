"""Settings: which there are, where each came from, and how its text is read. Resolved once, for every command."""
