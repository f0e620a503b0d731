"""Alembic's folder: how older databases become current ones."""
