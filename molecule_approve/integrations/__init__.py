"""For agents: adapters that let a person approve what an agent's framework is about to do."""
