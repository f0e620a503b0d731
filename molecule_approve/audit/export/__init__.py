"""One request's records with what proves them, to be checked on any machine."""
