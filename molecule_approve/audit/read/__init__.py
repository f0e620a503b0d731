"""Reading a log: forwards, backwards, through its archives, and as it grows."""
