"""molecule-approve: ask a person first, and let the exit code answer.

The public names are loaded on first use, so that importing the package costs nothing.
"""

from __future__ import annotations

from importlib import import_module
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from .api import CommandRun, request_approval, request_approval_sync, run_approved
    from .errors import (
        ApprovalError,
        AuditError,
        ChangedError,
        ConfigError,
        CredentialError,
        DecisionRefusedError,
        DeliveryError,
        DisconnectedError,
        EndedError,
        HookEventError,
        Interrupted,
        KeyUsedError,
        NotExecutableError,
        NotFoundError,
        NotPermittedError,
        OwnRequestError,
        PlatformError,
        ProtocolError,
        ReceiptError,
        RejectedError,
        ServerError,
        SigningError,
        UnavailableError,
        UnknownApprovalError,
        UsageError,
        UsedError,
    )
    from .executions import Executed, Execution
    from .integrations.decorator import NotApproved, requires_approval
    from .model import Outcome, Verdict

__version__ = "0.1.0"

__all__ = [
    "ApprovalError",
    "AuditError",
    "ChangedError",
    "CommandRun",
    "ConfigError",
    "CredentialError",
    "DecisionRefusedError",
    "DeliveryError",
    "DisconnectedError",
    "EndedError",
    "Executed",
    "Execution",
    "HookEventError",
    "Interrupted",
    "KeyUsedError",
    "NotApproved",
    "NotExecutableError",
    "NotFoundError",
    "NotPermittedError",
    "Outcome",
    "OwnRequestError",
    "PlatformError",
    "ProtocolError",
    "ReceiptError",
    "RejectedError",
    "ServerError",
    "SigningError",
    "UnavailableError",
    "UnknownApprovalError",
    "UsageError",
    "UsedError",
    "Verdict",
    "request_approval",
    "request_approval_sync",
    "requires_approval",
    "run_approved",
]

_HOMES = {
    **dict.fromkeys(("CommandRun", "request_approval", "request_approval_sync", "run_approved"), "api"),
    **dict.fromkeys(("NotApproved", "requires_approval"), "integrations.decorator"),
    **dict.fromkeys(("Executed", "Execution"), "executions"),
    **dict.fromkeys(("Outcome", "Verdict"), "model"),
}


def __getattr__(name: str) -> Any:  # noqa: ANN401 - whatever the public name stands for
    if name not in __all__:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    return getattr(import_module(f".{_HOMES.get(name, 'errors')}", __name__), name)
