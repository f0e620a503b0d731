"""The family of ``audit``: one module a command, put together here."""

from __future__ import annotations

import typer

from . import keep, story, tail, verify

app = typer.Typer(
    name="audit",
    help="Read, verify and export the audit log.",
    add_completion=False,
    rich_markup_mode=None,
    pretty_exceptions_enable=False,
)
app.command()(tail.tail)
app.command()(verify.verify)
app.command()(story.show)
app.command()(story.stats)
app.command()(story.export)
app.command()(keep.rotate)
app.command()(keep.init)
