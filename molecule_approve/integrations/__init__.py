"""The gate inside of other programs: agents' hosts, protocols and frameworks."""
