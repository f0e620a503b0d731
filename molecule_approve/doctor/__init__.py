"""Whether a request would work here, and whether an approval would prove anything: one file a subject."""
