"""A transaction: the queries of each subject, on one connection."""

from __future__ import annotations

from collections.abc import Callable
from functools import cached_property
from typing import TYPE_CHECKING

from .queries.administration import AdministrationQueries
from .queries.credentials import CredentialQueries
from .queries.decisions import DecisionQueries
from .queries.keys import KeyQueries
from .queries.lists import ListQueries
from .queries.openid import OpenIdQueries
from .queries.outbox import OutboxQueries
from .queries.rates import RateQueries
from .queries.replicas import ReplicaQueries
from .queries.requests import RequestQueries
from .queries.sign_ins import SignInQueries

if TYPE_CHECKING:
    from sqlalchemy.engine import Connection


class Transaction:
    """The queries of one transaction.

    Attributes:
        connection: the database library's.
        again: whether the same was tried before, and perhaps stored.
    """

    def __init__(self, connection: Connection, clock: Callable[[], float], owner: str | None = None) -> None:
        self.connection = connection
        self.again = False
        self._clock = clock
        self._owner = owner

    @cached_property
    def now(self) -> float:
        """The time of this transaction, in seconds since the epoch; the same for all servers of one database."""
        return self._clock()

    @cached_property
    def credentials(self) -> CredentialQueries:
        """Workspaces, requesters and approvers."""
        return CredentialQueries(self.connection, lambda: self.now)

    @cached_property
    def administration(self) -> AdministrationQueries:
        """Workspaces, requesters and approvers, as an administrator manages them."""
        return AdministrationQueries(self.connection)

    @cached_property
    def sign_ins(self) -> SignInQueries:
        """Sign-in codes and sessions."""
        return SignInQueries(self.connection)

    @cached_property
    def requests(self) -> RequestQueries:
        """Requests, from the first word to the last."""
        return RequestQueries(self.connection, self._owner)

    @cached_property
    def decisions(self) -> DecisionQueries:
        """What people decided about requests."""
        return DecisionQueries(self.connection)

    @cached_property
    def keys(self) -> KeyQueries:
        """Approvers' keys, and the server's own."""
        return KeyQueries(self.connection)

    @cached_property
    def rates(self) -> RateQueries:
        """Calls that are counted over all servers."""
        return RateQueries(self.connection)

    @cached_property
    def replicas(self) -> ReplicaQueries:
        """The servers that share the database."""
        return ReplicaQueries(self.connection)

    @cached_property
    def lists(self) -> ListQueries:
        """The lists of the inbox page."""
        return ListQueries(self.connection)

    @cached_property
    def openid(self) -> OpenIdQueries:
        """Sign-ins through a provider."""
        return OpenIdQueries(self.connection)

    @cached_property
    def outbox(self) -> OutboxQueries:
        """Ended requests on their way to the audit log."""
        return OutboxQueries(self.connection, self._owner)
