"""The embedded platform: the protocol of the real one, with additions, for one machine. Its parts are imported by name."""
