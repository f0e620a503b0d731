"""The fault table: every row, and the examples of the design's table (safety.md) that the rows must cover between them."""

from __future__ import annotations

from typing import TYPE_CHECKING

from tests.integration import (
    faults_answer,
    faults_host,
    faults_late,
    faults_link,
    faults_places,
    faults_proxy,
    faults_setup,
    faults_signals,
    faults_whose,
)

if TYPE_CHECKING:
    from tests.integration.fault import Fault

# Copied from the design's table "Faults, each on the WebSocket path and on the polling path", class by class; where an
# example stands twice there, or leans on its neighbour for its meaning, the second one says what it is of.
EXAMPLES = {
    "the platform is away": (
        "refused",
        "no such host",
        "killed before the POST",
        "killed during the POST",
        "killed after the POST",
        "restarted while we wait and decided meanwhile",
    ),
    "the socket": (
        "refused with 401",
        "refused with 403",
        "refused with 404",
        "refused with 429",
        "refused with 5xx",
        "accepts and closes at once",
        "clean close in mid-wait",
        "half-open",
        "slow",
        "dropped events",
        "doubled events",
        "reordered events",
        "foreign events",
        "malformed events",
        "huge frames",
        "answered early",
        "refused without an Origin",
    ),
    "the end": (
        "away around the end",
        "a decision that cannot be read",
        "a doubled POST",
        "a refusal by a proxy",
        "both clocks at once",
    ),
    "REST": (
        "429 with any kind of Retry-After",
        "500",
        "502",
        "503",
        "504",
        "redirects",
        "slow bytes",
        "endless",
        "compressed bombs",
        "not JSON",
        "wrong shape",
        "deep",
        "doubled keys",
        "401 once the token was good",
    ),
    "the answer": (
        "201 lost",
        "201 without an id",
        "201 with another status",
        "our row missing from the list",
        "our row with another action",
        "auto-expired",
        "unknown status",
    ),
    "time": ("the wall clock jumps", "the machine sleeps", "the process is stopped and continued"),
    "signals": ("INT at any moment", "TERM at any moment", "HUP at any moment", "KILL at any moment"),
    "the disk": (
        "full",
        "read-only",
        "a folder where the log should be",
        "a link where the log should be",
        "a pipe where the log should be",
        "a lock held for ever",
    ),
    "output": ("output closed", "output full", "a pipe that went away", "a parent that died"),
    "configuration": (
        "broken YAML",
        "wrong types",
        "doubled keys in config.yaml",
        "unknown roles",
        "bad numbers",
        "unreadable files",
    ),
    "deciders": (
        "sixty-four at once",
        "approve against withdraw against expiry",
        "double click",
        "a stale page",
    ),
    **faults_proxy.EXAMPLES,
    **faults_places.EXAMPLES,
    **faults_whose.EXAMPLES,
}

SOCKET_ONLY = set(EXAMPLES["the socket"])
"""What only one path can meet: there is no socket where the program polls."""

BEFORE_THE_PATH = {
    *EXAMPLES["configuration"],
    *EXAMPLES["the disk"],
    *(example for examples in faults_proxy.EXAMPLES.values() for example in examples),
}
"""What stops the program before it takes either path; one of them shows it."""

TABLE: tuple[Fault, ...] = (
    *faults_link.ROWS,
    *faults_answer.ROWS,
    *faults_host.ROWS,
    *faults_signals.ROWS,
    *faults_setup.ROWS,
    *faults_late.ROWS,
    *faults_proxy.ROWS,
    *faults_places.ROWS,
    *faults_whose.ROWS,
)
