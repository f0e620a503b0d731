"""Whose a token is, as a transaction asks for it."""

from __future__ import annotations

from typing import TYPE_CHECKING

from molecule_approve.server.database.sqlite import SqliteStore
from molecule_approve.server.database.values import SessionLimits

if TYPE_CHECKING:
    from pathlib import Path

    from molecule_approve.server.database.transaction import Transaction


def test_calls_that_share_a_transaction_came_before_what_it_changes(tmp_path: Path) -> None:
    """A workspace and an approver that are removed after their first call are known until its end, and no longer."""
    store = SqliteStore(tmp_path / "server.db", 1)

    def known(transaction: Transaction) -> tuple[bool, bool]:
        held = transaction.credentials.holder("hash", SessionLimits(1, 1)) is not None
        return held, transaction.credentials.has_workspace("w")

    with store.write() as transaction:
        transaction.credentials.put_workspace("w", "W", "now")
        transaction.credentials.add_approver("alice", "hash", "now")
    with store.write() as transaction:
        assert known(transaction) == (True, True)
        assert transaction.credentials.revoke_approver("alice", "now")
        transaction.administration.remove_workspace("w", "now")
        assert known(transaction) == (True, True)
    with store.read() as transaction:
        assert known(transaction) == (False, False)
    store.close()
