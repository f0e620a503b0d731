"""What became of an approved command: values only."""

from __future__ import annotations

from enum import StrEnum
from typing import NamedTuple

from .model import Failure, JsonValue  # noqa: TC001 - frameworks read the hints of public names


class Executed(StrEnum):
    """Whether the approved command ran. ``STARTED`` from the record of its start on: it may have run."""

    NO = "no"
    STARTED = "started"
    FINISHED = "finished"


class Execution(NamedTuple):
    """What became of an approved command.

    Attributes:
        digest: the SHA-256 over all that was bound, in lower-case hex; None until it is bound.
        child_exit_code: its exit code, 128 + the signal that ended it; None unless it finished.
        child_signal: the signal that ended it, or None.
    """

    executed: Executed
    digest: str | None = None
    child_exit_code: int | None = None
    child_signal: int | None = None
    error: Failure | None = None

    def as_json(self) -> dict[str, JsonValue]:
        """The fields that a result file adds to those of the verdict."""
        return {
            "executed": self.executed.value,
            "child_exit_code": self.child_exit_code,
            "child_signal": self.child_signal,
            "digest": self.digest,
        }
