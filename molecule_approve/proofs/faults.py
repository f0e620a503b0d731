"""What is wrong with a proof."""

from __future__ import annotations


class ProofError(Exception):
    """A proof does not prove the decision; the message is a clause that says why."""
