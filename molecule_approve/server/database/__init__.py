"""The embedded server's database: one interface, one file a kind, and the queries; the only room that knows SQL."""
