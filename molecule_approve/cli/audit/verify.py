"""``audit verify``: checks that nobody changed the log afterwards."""

from __future__ import annotations

import contextlib
import os
import re
from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, NamedTuple

import typer

from molecule_approve.cli import options, output
from molecule_approve.cli.deliver import failure_as_json
from molecule_approve.cli.exits import Exit
from molecule_approve.cli.help import option
from molecule_approve.errors import AuditError, UsageError
from molecule_approve.safe_text import visible

if TYPE_CHECKING:
    from molecule_approve.audit.seal import SealKey
    from molecule_approve.audit.verify.report import ExpectedHead
    from molecule_approve.cli.deliver import JsonObject
    from molecule_approve.model import JsonValue
    from molecule_approve.settings.resolve import Flags

_BEGIN = 4096
"""Bytes in which an export says that it is one."""

_KEYS = 65_536
_KEY_HINT = "write one key per line, as `audit init --seal` printed it; # starts a comment"
_EXPECT = re.compile(r"([1-9][0-9]{0,17}):([0-9A-Fa-f]{64})")


def verify(
    file: Annotated[
        str | None,
        typer.Argument(
            metavar="[FILE]",
            help="Verify only this file: an archive or an export, from any machine. [default: the log with its archives]",
            show_default=False,
        ),
    ] = None,
    expect: Annotated[
        list[str] | None,
        option("--expect", "SEQ:HASH", "The log must contain this record, known from elsewhere; repeatable."),
    ] = None,
    begins: Annotated[
        int | None,
        option("--from", "SEQ", "Start at this record: the archives before it were removed on purpose.", min=1),
    ] = None,
    seal_key_file: Annotated[
        str | None,
        option("--seal-key-file", "PATH", "Check the seals with the keys in this file, one per line."),
    ] = None,
    against_platform: Annotated[
        bool, option("--against-platform", None, "Compare with the heads that the platform stores with its requests.")
    ] = False,
    json: options.Json = False,
    config: options.Config = None,
    platform_url: options.PlatformUrl = None,
    workspace_id: options.WorkspaceId = None,
    audit_log: options.AuditLog = None,
) -> int:
    """Verify that the audit log is whole.

    Exit codes: 0 it is, 65 a record was changed, removed, inserted or moved, 125 it cannot be checked.
    """
    from molecule_approve.settings.resolve import Flags

    wanted = _Expectations([_head(text) for text in expect or ()], _keys(seal_key_file), begins or 1)
    if file is not None and (begins is not None or against_platform):
        raise UsageError("--from and --against-platform cannot be used with FILE", hint="omit them, or omit FILE")
    with failure_as_json(json=json, form=_unchecked):
        if file is not None:
            return _verify_file(Path(file), wanted, json=json)
        flags = Flags(config, platform_url, workspace_id, audit_log)
        return _verify_log(flags, wanted, against_platform=against_platform, json=json)


class _Expectations(NamedTuple):
    """What the log has to meet, by the command line."""

    heads: list[ExpectedHead]
    keys: list[SealKey]
    begins: int


def _unchecked(told: JsonObject) -> JsonValue:
    """What ``--json`` says where the log could not be checked: it is neither whole nor damaged."""
    return {"whole": None, "error": told["error"]}


def _print(said: Iterable[str], facts: dict[str, JsonValue], *, json: bool) -> int:
    if json:
        output.answer_json(facts)
    else:
        for line in said:
            output.answer(line)
    return Exit.OK if facts["whole"] else Exit.NOT_WHOLE


def _verify_log(flags: Flags, wanted: _Expectations, *, against_platform: bool, json: bool) -> int:
    from molecule_approve.audit.read import archives
    from molecule_approve.audit.verify import run as verify_run

    from .meter import meter
    from .verify_view import result_json, result_lines

    path = options.audit_log_path(flags.config, flags.audit_log)
    # First: the log may grow meanwhile, and must not seem to be behind.
    kept = _platform_heads(flags, path) if against_platform else None
    heads = wanted.heads if kept is None else [*wanted.heads, *kept.heads]
    with meter() as watch:
        result = verify_run.verify_log(path, verify_run.VerifyOptions(heads, wanted.keys, wanted.begins), watch)
    said = result_lines(result, lambda first, last: archives.archive_name(path, first, last).name)
    facts = result_json(result)
    if kept is not None:
        said.append(kept.summary)
        facts["platform"] = {"requests": kept.requests, "compared": len(kept.heads), "other_logs": kept.others}
    code = _print(said, facts, json=json)
    # A record that is missing between files may stand in what cannot be read: then nothing is proved. So may the end, but
    # for a live file that holds records.
    live = any(file.name == path.name and file.records for file in result.report.files)
    unproved = sum(gap.is_between_files or not (gap.before or live) for gap in result.report.gaps)
    return Exit.FAILED if result.unreadable and result.report.breaks <= unproved else code


def _verify_file(path: Path, wanted: _Expectations, *, json: bool) -> int:
    from molecule_approve.audit.export.check import check
    from molecule_approve.audit.verify import run as verify_run

    from .meter import meter
    from .verify_view import export_json, result_json, result_lines

    path = Path(os.path.realpath(path))
    document = _export_in(path)
    if document is not None:
        report = check(document, wanted.keys, [(head.seq, head.hash) for head in wanted.heads])
        return _print(map(visible, report.said), export_json(report), json=json)
    with meter() as watch:
        result = verify_run.verify_file(path, verify_run.VerifyOptions(wanted.heads, wanted.keys), watch)
    if result.report.head is None:
        raise AuditError(f"{path} is neither an audit log nor an export", hint="check the path")
    return _print(result_lines(result), result_json(result), json=json)


def _export_in(path: Path) -> bytes | None:
    """The file's bytes where it is an export; None where it is a log."""
    from molecule_approve.audit import chain, files
    from molecule_approve.audit.export import parse

    handle = files.open_for_reading(path)
    try:
        begin = os.pread(handle, _BEGIN, 0)
        # A record may well speak of exports; then its line is chained.
        if parse.FORMAT.encode() not in begin or chain.link_of(begin.partition(b"\n")[0]) is not None:
            return None
        return os.pread(handle, parse.LARGEST + 1, 0)
    except OSError as exc:
        raise files.explained(exc, "read", path) from exc
    finally:
        os.close(handle)


# --- what the platform keeps -------------------------------------------------------------------------------------------


class _PlatformHeads(NamedTuple):
    """What the platform shows.

    Attributes:
        heads: heads of this log, and of logs that this user kept in its place on this machine: it was exchanged then.
        requests: how many requests it showed.
        others: how many of them carry the head of a log that was kept elsewhere.
    """

    heads: list[ExpectedHead]
    requests: int
    others: int

    @property
    def summary(self) -> str:
        """All of that in a sentence."""
        shown = f"the platform lists {self.requests} request{'' if self.requests == 1 else 's'}"
        others = f"; {self.others} of logs in other places" if self.others else ""
        if not self.heads:
            return f"{shown} but no head of this log, so nothing was compared{others}"
        return f"{shown}: compared with {len(self.heads)} head{'' if len(self.heads) == 1 else 's'}{others}"


def _platform_heads(flags: Flags, path: Path) -> _PlatformHeads:
    """The heads that the platform keeps in the contexts of this workspace's requests.

    Raises:
        PlatformError, UsageError, ConfigError: it cannot be asked.
    """
    from molecule_approve import wiring
    from molecule_approve.audit.journal import Journal
    from molecule_approve.cli.options import READ
    from molecule_approve.clock import Deadline
    from molecule_approve.model import SubmittedRequest

    settings = options.settings(flags)
    workspace = settings.workspace_id.value
    with contextlib.closing(wiring.platform(settings)) as platform:
        rows = platform.list_requests(Deadline.after(READ))
        # A list has no contexts. The embedded server shows them for one request; the platform never does.
        ids = [row.id for row in rows] if platform.verifies_approvers(Deadline.after(READ)) else []
        seen = [platform.fetch(SubmittedRequest(one, workspace), Deadline.after(READ)).approval for one in ids]
    journal, origin = Journal(path), wiring.origin()
    log, here = journal.head(), {"user": origin.user, "host": origin.host, "file": journal.place}
    contexts = [row.context for row in seen if row is not None and row.context is not None]
    heads = [(head, _place_in(context)) for context in contexts if (head := _head_in(context)) is not None]
    # Who keeps several logs has them in several places: another one in this place means that it was exchanged.
    ours = [head for head, place in heads if place == here or (log is not None and head.log_id == log.log_id)]
    return _PlatformHeads(ours, len(rows), len(heads) - len(ours))


def _place_in(context: Mapping[str, JsonValue]) -> dict[str, JsonValue]:
    """Who kept the log whose head is in the context, and where."""
    match context:
        case {"user": user, "host": host, "audit_head": {"file": file}}:
            return {"user": user, "host": host, "file": file}
    return {}


def _head_in(context: Mapping[str, JsonValue]) -> ExpectedHead | None:
    from molecule_approve.audit.verify.report import ExpectedHead, Source

    match context.get("audit_head"):
        case {"log_id": str(log_id), "seq": int(seq), "hash": str(digest)} if _EXPECT.fullmatch(f"{seq}:{digest}"):
            return ExpectedHead(seq, digest, log_id, Source.PLATFORM)
    return None


# --- what was given ----------------------------------------------------------------------------------------------------


def _head(text: str) -> ExpectedHead:
    from molecule_approve.audit.verify.report import ExpectedHead

    found = _EXPECT.fullmatch(text)
    if found is None:
        raise UsageError(
            f"--expect: {text[:90]!r} is not a head",
            hint="use SEQ:HASH as `audit verify` prints it, with a hash of 64 hexadecimal digits",
        )
    return ExpectedHead(int(found[1]), found[2].lower())


def _keys(name: str | None) -> list[SealKey]:
    """The keys in the file; none without one.

    Raises:
        UsageError: it cannot be read, or holds something else. No message repeats what it holds.
    """
    if name is None:
        return []
    from molecule_approve.audit import seal

    keys = []
    for number, line in enumerate(_text_of(name).splitlines(), 1):
        text = line.partition("#")[0].strip()
        try:
            keys += [seal.from_text(text)] if text else []
        except ValueError as exc:
            raise UsageError(f"--seal-key-file: line {number} of {name}: {exc}", hint=_KEY_HINT) from exc
    if len({key.log_id for key in keys}) != 1:
        what = "has no key" if not keys else "has keys of several logs"
        raise UsageError(f"--seal-key-file: {name} {what}", hint=_KEY_HINT)
    return keys


def _text_of(name: str) -> str:
    try:
        with open(name, encoding="ascii") as file:  # noqa: PTH123 - as the user wrote it
            if os.fstat(file.fileno()).st_mode & 0o077:
                output.say(f"warning: {visible(name)} is readable by others; run chmod 600")
            return file.read(_KEYS)
    except (OSError, ValueError) as exc:
        raise UsageError(f"cannot read --seal-key-file {name!r}", hint=_KEY_HINT) from exc
