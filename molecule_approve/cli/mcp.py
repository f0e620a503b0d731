"""``mcp``: serves approval requests to an agent. The server itself is in ``integrations/mcp/``."""

from __future__ import annotations

from molecule_approve import __version__
from molecule_approve.errors import ApprovalError
from molecule_approve.safe_text import visible

from . import gating, options, output
from .exits import Exit
from .help import CliCommand, commands

app = commands()


@app.command(
    "mcp",
    cls=CliCommand,
    epilog="""
        molecule-approve mcp
        molecule-approve mcp --platform-url local --timeout 15m
        claude mcp add approvals -- molecule-approve mcp --platform-url local
    """,
)
@options.connected
def mcp(connection: options.ConnectionOptions, timeout: gating.Timeout = None, verified: gating.Verified = False) -> int:
    """Let an agent request approvals over MCP, on stdin and stdout.

    An agent's host starts it. It ends when the host closes stdin or on a signal, and then withdraws what is still open.
    """
    try:
        from molecule_approve.integrations.mcp.server import make_server
        from molecule_approve.integrations.mcp.stdio import serve
    except ImportError as exc:
        hint = "pip install 'molecule-approve[mcp]'"
        raise ApprovalError("the library of the MCP server is not installed", hint=hint) from exc
    settings = connection.settings(timeout=timeout, require_verified_approver=verified or None)
    settings.endpoint()  # what is wrong with it is told now, and to a person
    serve(make_server(settings, __version__, _complain))
    return Exit.OK


def _complain(sentence: str) -> None:
    output.talk(f"{output.PROGRAM}: {visible(sentence)}")
