"""The examination: every check in its order, each carried out for itself, and no secret in what they find."""

from __future__ import annotations

from collections.abc import Iterator
from itertools import chain
from typing import TYPE_CHECKING

from molecule_approve import wiring
from molecule_approve.settings.resolve import resolve_audit_log

from . import log, machine, platform, server
from .checks import Check, Finding, Grade, Setup, carry_out, masked
from .settings import SettingsReading

if TYPE_CHECKING:
    from pathlib import Path

    from molecule_approve.settings.resolve import Settings


def examine(around: Setup) -> Iterator[Finding]:
    """Every finding, as soon as it is there. Nothing is requested, and nothing is written to the audit log."""
    reading = SettingsReading(around)
    first = carry_out("settings.values", reading.findings)
    secrets = wiring.secrets(reading.settings, around.environ)
    yield from (masked(finding, secrets) for finding in first)
    for name, check in _others(around, reading.settings):
        yield from (masked(finding, secrets) for finding in carry_out(name, check))


def _others(around: Setup, settings: Settings | None) -> Iterator[tuple[str, Check]]:
    def path() -> Path:
        return resolve_audit_log(around.flags, around.environ, around.places).value

    optional = settings is not None and settings.audit_optional.value
    yield from chain(
        platform.checks(settings) if settings is not None else _no_platform(),
        log.checks(path, optional=optional),
        server.checks(around, settings),
        machine.checks(around),
    )


def _no_platform() -> Iterator[tuple[str, Check]]:
    skipped = Finding("platform.connection", Grade.SKIPPED, "not checked: the settings cannot be used")
    yield skipped.check, lambda: [skipped]
