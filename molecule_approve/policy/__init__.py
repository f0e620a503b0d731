"""Who may ask. Pure: the files are read in ``settings``."""
