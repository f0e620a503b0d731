"""The queries of a transaction, one file a subject."""
