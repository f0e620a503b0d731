"""The family of ``audit``: one module a command, put together here."""

from __future__ import annotations

from molecule_approve.cli.help import CliCommand, CliGroup, commands

from . import keep, story, tail, verify

app = commands(
    name="audit",
    help="Read, verify and export the audit log.",
    cls=CliGroup,
    epilog="molecule-approve audit tail\nmolecule-approve audit verify",
)
for command, examples in (
    (tail.tail, "molecule-approve audit tail -n 50\nmolecule-approve audit tail -f --outcome denied"),
    (verify.verify, "molecule-approve audit verify\nmolecule-approve audit verify export.json"),
    (story.show, "molecule-approve audit show 3f2a1c"),
    (story.stats, "molecule-approve audit stats --since 7d"),
    (story.export, "molecule-approve audit export 3f2a1c --output export.json"),
    (keep.rotate, "molecule-approve audit rotate"),
    (keep.init, "molecule-approve audit init --seal > audit.key"),
):
    app.command(cls=CliCommand, epilog=examples)(command)
