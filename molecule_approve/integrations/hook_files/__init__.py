"""The settings files of agents' hosts, as far as they name our hook: one file a host, behind ``interface``."""
