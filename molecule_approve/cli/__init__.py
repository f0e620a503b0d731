"""The terminal: arguments in, words and an exit code out. The only place that knows Typer."""
