"""The hosts that ``molecule-approve hook`` knows, by name."""

from __future__ import annotations

from typing import TYPE_CHECKING

from .claude_code import ClaudeCode
from .codex import Codex
from .copilot import Copilot
from .cursor import Cursor
from .gemini import Gemini

if TYPE_CHECKING:
    from .interface import Host

HOSTS: dict[str, Host] = {host.name: host for host in (ClaudeCode(), Codex(), Gemini(), Cursor(), Copilot())}
