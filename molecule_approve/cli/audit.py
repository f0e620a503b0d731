"""The family of ``audit``: one module a command, put together here."""

from __future__ import annotations

import typer

from . import audit_keep, audit_story, audit_tail, audit_verify

app = typer.Typer(
    name="audit",
    help="Read the audit log, or prove that it is whole.",
    add_completion=False,
    rich_markup_mode=None,
    pretty_exceptions_enable=False,
)
app.command()(audit_tail.tail)
app.command()(audit_verify.verify)
app.command()(audit_story.show)
app.command()(audit_story.stats)
app.command()(audit_story.export)
app.command()(audit_keep.rotate)
app.command()(audit_keep.init)
