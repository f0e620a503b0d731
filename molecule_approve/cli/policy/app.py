"""The family of ``policy``: one module a command, put together here."""

from __future__ import annotations

from molecule_approve.cli.help import CliCommand, CliGroup, commands

from . import cases, check, explain

app = commands(
    name="policy",
    help="Check, explain and test the rules of the embedded server.",
    cls=CliGroup,
    epilog="molecule-approve policy check policy.yaml\nmolecule-approve policy explain -- 'drop the table'",
)
for command, name, examples in (
    (check.check, "check", "molecule-approve policy check policy.yaml"),
    (
        explain.explain_action,
        "explain",
        (
            "molecule-approve policy explain -- 'drop the table'\n"
            "molecule-approve policy explain --as deploy-bot --context env=prod --run -- psql -c 'DROP TABLE x'"
        ),
    ),
    (cases.run_cases, "test", "molecule-approve policy test cases.yaml"),
    (cases.compare, "diff", "molecule-approve policy diff policy.yaml new.yaml cases.yaml"),
):
    app.command(name, cls=CliCommand, epilog=examples)(command)
