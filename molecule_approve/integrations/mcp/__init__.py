"""An MCP server over stdin and stdout, with which an agent requests approvals (``molecule-approve mcp``)."""
