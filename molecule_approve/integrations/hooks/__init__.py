"""The contracts between agents' programs (hosts) and their hooks: one file a host."""
