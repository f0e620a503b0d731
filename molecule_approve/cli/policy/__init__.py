"""The family of ``policy``: what rules say, before a server follows them."""
