"""Limits that more than one part of the program needs; each stands here once."""

from __future__ import annotations

ACTION_LIMIT = 4_096
"""Characters of an action."""

REASON_LIMIT = 16_384
"""Characters of a reason."""

COMMENT_LIMIT = 4_096
"""Characters of an approver's comment."""

CONTEXT_LIMIT = 65_536
"""Bytes of a context as JSON."""

EXPIRY_LIMIT = 30 * 86_400.0
"""Seconds: the longest time for which a request can stay open."""

PLATFORM_EXPIRY = 600.0
"""Seconds after which the platform denies an open request by ``auto-expired``, once ``/approvals/pending`` is read."""

WORKSPACE_NAME = "local"
"""The name of the embedded server's own workspace."""
