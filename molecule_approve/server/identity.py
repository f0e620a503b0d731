"""Who this server is: an id and a key, in its database, that all servers of that database share."""

from __future__ import annotations

import os
import uuid
from typing import TYPE_CHECKING

from molecule_approve.clock import utc_now
from molecule_approve.proofs.passkey import encode

from .database.values import ServerIdentity

if TYPE_CHECKING:
    from .database.interface import Store

SEED = 32
"""Bytes of an Ed25519 private key; any bytes are one."""


def server_identity(store: Store) -> ServerIdentity:
    """The identity, which the first server of the database makes.

    Raises:
        StoreError: the database cannot answer.
    """
    with store.read() as transaction:
        found = transaction.keys.server_identity()
    if found is not None:
        return found
    made = ServerIdentity(str(uuid.uuid4()), encode(os.urandom(SEED)), utc_now())
    with store.write() as transaction:
        return transaction.keys.keep_identity(made)
