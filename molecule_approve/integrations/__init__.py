"""The gate inside of other programs: hooks of agents, MCP, and adapters for agents' frameworks."""
