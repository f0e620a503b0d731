"""The numbers of the server for Prometheus: how many and how long; no names, no texts, nothing of a request."""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING

from prometheus_client import CONTENT_TYPE_LATEST, CollectorRegistry, Counter, Gauge, Histogram, generate_latest
from prometheus_client.process_collector import ProcessCollector

if TYPE_CHECKING:
    from molecule_approve.model import Outcome

CONTENT_TYPE = CONTENT_TYPE_LATEST

_WAITS = (1, 5, 15, 30, 60, 120, 300, 600, 1_800, 3_600, 4 * 3_600, 24 * 3_600)
"""Seconds: from one that somebody waited for at the terminal, to a day."""


class Numbers:
    """The numbers of one server, in a registry of their own."""

    def __init__(self) -> None:
        own = self._registry = CollectorRegistry(auto_describe=True)
        ProcessCollector(registry=own)
        self.requests = Counter("molecule_requests", "Requests that were made.", registry=own)
        self.redeemed = Counter("molecule_redemptions", "Approvals that were used up.", registry=own)
        self.logins = Counter("molecule_logins", "Sign-ins to the page, and failed credentials.", ["result"], registry=own)
        self.pending = Gauge("molecule_pending_requests", "Requests that wait for a decision.", registry=own)
        self._ended = Counter("molecule_ended_requests", "Requests that ended.", ["outcome"], registry=own)
        self._waited = Histogram(
            "molecule_wait_seconds",
            "How long requests waited for their end.",
            ["outcome"],
            buckets=_WAITS,
            registry=own,
        )
        self._answers = Counter("molecule_http_answers", "Answers by class of status.", ["status"], registry=own)

    def gauge(self, name: str, text: str, value: Callable[[], float]) -> None:
        """Add a number that is asked for at each reading."""
        Gauge(f"molecule_{name}", text, registry=self._registry).set_function(value)

    def ended(self, outcome: Outcome, seconds: float) -> None:
        """Count a request that ended, after so many seconds."""
        self._ended.labels(outcome.value).inc()
        self._waited.labels(outcome.value).observe(seconds)

    def answered(self, status: int) -> None:
        """Count an answer."""
        self._answers.labels(f"{status // 100}xx").inc()

    def text(self) -> bytes:
        """All numbers, in Prometheus' text format."""
        return generate_latest(self._registry)
