"""What the embedded server says where it does not take a person's decision: the error, and what to do next."""

from __future__ import annotations

from typing import TYPE_CHECKING

from molecule_approve import wire
from molecule_approve.errors import DecisionRefusedError, OwnRequestError

if TYPE_CHECKING:
    from molecule_approve.errors import PlatformError

    from .http import Answer

_HINTS = {
    "not_eligible": "`molecule-approve status {id}` shows for whom it waits",
    "already_decided": "to retract it: molecule-approve approve {id} --retract",
    "nothing_to_retract": "`molecule-approve status {id}` shows who has approved it",
    "comment_required": "say why with --comment TEXT",
    "bad_proof": "`molecule-approve approvers keys list --mine` lists the keys of yours that are enrolled",
    "statement": "check the clock of this machine, and decide again",
    "proof_used": "decide again: each decision is signed anew",
    "presence_required": "sign it: molecule-approve approve {id} --sign KEY, or use a passkey on the server's page",
}


def refused_decision(answer: Answer, approval_id: str) -> PlatformError | None:
    """The error for a decision, or its retraction, that the server refuses; None for any other answer."""
    said = wire.read_error(answer.body)
    code, sentence = said.get("code"), said.get("error")
    if answer.status not in {403, 409, 422} or not isinstance(code, str) or not isinstance(sentence, str):
        return None
    if code == "own_request":
        return OwnRequestError(sentence, hint=f"to withdraw it: molecule-approve withdraw {approval_id}")
    if code not in _HINTS:
        return None
    return DecisionRefusedError(sentence, code=code, hint=_HINTS[code].format(id=approval_id))
