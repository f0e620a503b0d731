"""The numbers of the server for Prometheus: how many and how long; no names, no texts, nothing of a request."""

from __future__ import annotations

from bisect import bisect_left
from collections import Counter, defaultdict
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from itertools import accumulate
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from prometheus_client import Metric

    from molecule_approve.model import Outcome

_WAITS = (1, 5, 15, 30, 60, 120, 300, 600, 1_800, 3_600, 4 * 3_600, 24 * 3_600)
"""Seconds: from one that somebody waited for at the terminal, to a day."""


@dataclass(slots=True)
class _WaitingTimes:
    """How long requests waited: how many by the bound of :data:`_WAITS` that they kept to, and all their seconds."""

    counts: list[int] = field(default_factory=lambda: [0] * (len(_WAITS) + 1))
    seconds: float = 0.0

    def add(self, seconds: float) -> None:
        self.counts[bisect_left(_WAITS, seconds)] += 1
        self.seconds += seconds

    def buckets(self) -> list[tuple[str, int]]:
        return list(zip([*(str(float(bound)) for bound in _WAITS), "+Inf"], accumulate(self.counts), strict=True))


class Numbers:
    """The numbers of one server. Only the event loop counts, so they are plain; the library is loaded to write them down.

    Attributes:
        requests: that were made.
        redeemed: approvals that were used up.
        pending: requests that wait for a decision.
        logins: sign-ins to the page (``ok``), and ``failed`` credentials.
    """

    def __init__(self) -> None:
        self.requests = self.redeemed = self.pending = 0
        self.logins = Counter[str]()
        self._waits: defaultdict[str, _WaitingTimes] = defaultdict(_WaitingTimes)
        self._answers = Counter[int]()
        self._gauges: dict[str, tuple[str, Callable[[], float]]] = {}

    def gauge(self, name: str, text: str, value: Callable[[], float]) -> None:
        """Add a number that is asked for at each reading."""
        self._gauges[name] = (text, value)

    def ended(self, outcome: Outcome, seconds: float) -> None:
        """Count a request that ended, after so many seconds."""
        self._waits[outcome.value].add(seconds)

    def answered(self, status: int) -> None:
        """Count an answer."""
        self._answers[status // 100] += 1

    def collect(self) -> Iterator[Metric]:
        """The numbers as the library's values."""
        from prometheus_client import metrics_core as core  # noqa: PLC0415 - see above

        yield core.CounterMetricFamily("molecule_requests", "Requests that were made.", self.requests)
        yield core.CounterMetricFamily("molecule_redemptions", "Approvals that were used up.", self.redeemed)
        logins = core.CounterMetricFamily(
            "molecule_logins", "Sign-ins to the page, and failed credentials.", labels=["result"]
        )
        for result, count in self.logins.items():
            logins.add_metric([result], count)
        ended = core.CounterMetricFamily("molecule_ended_requests", "Requests that ended.", labels=["outcome"])
        text = "How long requests waited for their end."
        waited = core.HistogramMetricFamily("molecule_wait_seconds", text, labels=["outcome"])
        for outcome, waits in self._waits.items():
            ended.add_metric([outcome], sum(waits.counts))
            waited.add_metric([outcome], waits.buckets(), waits.seconds)
        answers = core.CounterMetricFamily("molecule_http_answers", "Answers by class of status.", labels=["status"])
        for kind, count in self._answers.items():
            answers.add_metric([f"{kind}xx"], count)
        yield from (logins, ended, waited, answers)
        yield core.GaugeMetricFamily("molecule_pending_requests", "Requests that wait for a decision.", self.pending)
        for name, (text, value) in self._gauges.items():
            yield core.GaugeMetricFamily(f"molecule_{name}", text, value())

    def text(self) -> tuple[bytes, str]:
        """All numbers, and those of the process, in Prometheus' text format; and its media type."""
        from prometheus_client import CONTENT_TYPE_LATEST, CollectorRegistry, generate_latest  # noqa: PLC0415 - see above
        from prometheus_client.process_collector import ProcessCollector  # noqa: PLC0415

        registry = CollectorRegistry()
        registry.register(self)
        ProcessCollector(registry=registry)
        return generate_latest(registry), CONTENT_TYPE_LATEST
