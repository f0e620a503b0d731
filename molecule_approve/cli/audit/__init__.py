"""The commands below ``audit``, and what they look like."""
