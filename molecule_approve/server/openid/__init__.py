"""Signing in by an OpenID Connect provider: what is asked of it, what its answers must be, and whom they name."""
