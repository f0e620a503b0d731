"""What a log's records say together: one request's story, and figures about all."""
