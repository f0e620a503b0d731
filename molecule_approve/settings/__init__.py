"""Where each setting came from, and which text counts as one. Resolved once, for every command."""
