"""One request's records as evidence that can be checked on any machine."""
