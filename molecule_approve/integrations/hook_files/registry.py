"""The hosts whose settings files are known, by name."""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING

from .claude_code import ClaudeCodeFile
from .codex import CodexFile
from .copilot import CopilotFile
from .cursor import CursorFile
from .gemini import GeminiFile

if TYPE_CHECKING:
    from .interface import HostFile

HOST_FILES: Mapping[str, HostFile] = {
    found.name: found for found in (ClaudeCodeFile(), CodexFile(), GeminiFile(), CursorFile(), CopilotFile())
}
