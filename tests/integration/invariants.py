"""The invariants of safety.md as one pure checker over what can be seen of a run from outside; it starts nothing.

Nothing of the program is imported: what checks must not share its mistakes.
"""

from __future__ import annotations

import hashlib
import re
import unicodedata
from collections.abc import Callable, Iterator, Sequence

from tests.integration.facts import Facts, record_of

APPROVED, USAGE, ENDED, PENDING, DAMAGED, DENIED, TIMEOUT, FAILED = 0, 2, 3, 8, 65, 77, 124, 125
INTERRUPTED = {129, 130, 143}
GATES = {"request", "wait"}
NOBODY = {"auto-expired", "withdrawn"}
MACHINE = 8.0
"""Seconds that a loaded machine may take to start a program, to bring its records to the disk, and to see its end."""
_OPEN = {"pending", "escalated"}
_SCREEN = re.compile(r"\x1b\[[0-9;?]*[A-Za-z]")
_ORDERS = re.compile(r"^\s*::|##\[|##vso\[|section_(start|end):", re.MULTILINE | re.IGNORECASE)
_INVISIBLE = {0x034F, 0x115F, 0x1160, 0x17B4, 0x17B5, 0x180B, 0x180C, 0x180D, 0x180F, 0x2800, 0x3164, 0xFFA0}


# --- the rules: each yields a sentence for everything that is wrong ------------------------------------------------------


def genuine(facts: Facts) -> Iterator[str]:
    """1. A 0 of a gate rests on this very request, approved by somebody."""
    if facts.code != APPROVED or facts.command not in GATES:
        return
    row = facts.row
    if row is None:
        yield "0 although the platform holds no such approval"
        return
    if row["status"] != "approved":
        yield f"0 although the platform says {row['status']}"
    if not (row["decided_by"] or "").strip() or row["decided_by"] in NOBODY:
        yield f"0 although it was decided by {row['decided_by']!r}"
    if facts.action and row["action"] != facts.action:
        yield "0 although something else was approved"
    if row["workspace_id"] != facts.workspace:
        yield "0 although another workspace asked"
    if facts.command == "request" and facts.own and row["task_id"] not in _task_ids(facts):
        yield "0 although the approval carries another task id"


def _task_ids(facts: Facts) -> set[str]:
    return {str(r[key]) for r in facts.own for key in ("task_id", "trace_id") if key in r}


def recorded_once(facts: Facts) -> Iterator[str]:
    """2. A 0 of a gate has its record, and an approval has one such record at most."""
    granted = [r.get("approval_id") for r in facts.records if r.get("outcome") == "granted"]
    yield from (f"{found} was granted {granted.count(found)} times" for found in set(granted) if granted.count(found) > 1)
    if facts.code != APPROVED or facts.command not in GATES or facts.audit_optional:
        return
    if not any(r["outcome"] == "granted" for r in facts.ending):
        yield "0 without a record that says granted"
    if facts.answer and facts.answer.get("recorded") is not True:
        yield "0 and recorded is not true"


def no_by_default(facts: Facts) -> Iterator[str]:
    """3. A gate leaves with a code of the contract, and with 0 only when it says that it is approved."""
    if facts.command not in {*GATES, "status"} or facts.killed:
        return
    contract = {APPROVED, USAGE, PENDING, DENIED, TIMEOUT, FAILED, *INTERRUPTED}
    if facts.code not in contract:
        yield f"{facts.code} is no code of the contract"
    if b"Traceback (most recent call last)" in facts.stderr:
        yield f"a traceback was shown: {facts.stderr[-3_000:].decode(errors='replace')}"
    said = facts.answer.get("approved") is True or b"approved" in facts.stdout or not facts.stdout
    if facts.code == APPROVED and not said:
        yield "0 without a word of an approval"
    if facts.code != APPROVED and facts.answer.get("approved") is True:
        yield f"{facts.code} although the answer says approved"


def nothing_lost(facts: Facts) -> Iterator[str]:
    """4. The log is a whole chain: no gap, no change, no line that is not a record; and ``audit verify`` says which."""
    broken = list(_breaks(facts))
    if facts.argv[:2] != ("audit", "verify"):
        yield from broken
    elif (facts.code == DAMAGED) != bool(broken):
        yield f"audit verify says {facts.code}, and the log is {'not ' if broken else ''}whole"


def _breaks(facts: Facts) -> Iterator[str]:
    previous, number, log_id = "0" * 64, 0, None
    excused = facts.killed or _log_refused(facts)
    lines = facts.lines[:-1] if facts.torn and excused else facts.lines
    if facts.torn and not excused:
        yield "the log's last line is torn"
    for place, line in enumerate(lines, 1):
        found = record_of(line)
        if not found:
            following = record_of(lines[place]) if place < len(lines) else {}
            if following.get("action") != "recover":
                yield f"line {place} of the log is no record"
            continue
        if "seq" not in found:
            continue
        if found["seq"] != number + 1 or found["prev"] != previous or found["log_id"] != (log_id or found["log_id"]):
            yield f"the chain breaks at line {place}"
        number, log_id, previous = found["seq"], found["log_id"], hashlib.sha256(line).hexdigest()


_SAYS = {
    "approved": {APPROVED},
    "denied": {DENIED},
    "timeout": {TIMEOUT},
    "expired": {TIMEOUT},
    "withdrawn": {TIMEOUT},
    "pending": {PENDING},
    "not_permitted": {DENIED},
    "failed": {FAILED, USAGE},
    "interrupted": INTERRUPTED,
}


def one_ending(facts: Facts) -> Iterator[str]:
    """5. One ending, the same in exit code, answer, audit log and on the platform."""
    if facts.killed or facts.command not in GATES:
        return
    endings = [r["outcome"] for r in facts.ending]
    outcome = facts.answer.get("outcome")
    if len(endings) > 1:
        yield f"{len(endings)} endings: {endings}"
    if facts.begun and not endings and facts.code != PENDING and not _log_refused(facts):
        yield f"no ending, and the code is {facts.code}"
    if outcome is not None and facts.code not in _SAYS.get(outcome, set()):
        yield f"the answer says {outcome} and the code {facts.code}"
    yield from _endings_agree(facts, endings)
    yield from _platform_agrees(facts)


def _log_refused(facts: Facts) -> bool:
    """The log itself could not take the ending, which is what the answer then says."""
    return facts.code == FAILED and (facts.answer.get("error") or {}).get("kind") == "audit"


def _endings_agree(facts: Facts, endings: list[str]) -> Iterator[str]:
    for ending in endings:
        undelivered = any(r.get("action") == "deliver" and r.get("outcome") == "failed" for r in facts.own)
        fits = {
            "granted": {FAILED, *INTERRUPTED} if undelivered else {APPROVED},
            "denied": {DENIED},
            "timeout": {TIMEOUT},
            "withdrawn": {TIMEOUT, *INTERRUPTED},
            "failure": {FAILED, *INTERRUPTED},
        }[ending]
        if facts.code not in fits:
            yield f"the log says {ending} and the code is {facts.code}"


def _platform_agrees(facts: Facts) -> Iterator[str]:
    row = facts.row
    if row is None or facts.answer.get("outcome") is None:
        return
    nobody = row["decided_by"] in NOBODY
    if facts.code == DENIED and facts.answer["outcome"] == "denied" and (row["status"] != "denied" or nobody):
        yield "denied, and on the platform nobody said no"
    late = facts.stopped > 0
    decided = (row["decided_by"] or "").strip() and not nobody
    if facts.answer["outcome"] == "timeout" and decided and not late and not facts.cut_off:
        yield f"timed out, and on the platform it is {row['status']} by {row['decided_by']}"
    names = {r.get("decided_by") for r in facts.ending if r["outcome"] in {"granted", "denied"}}
    if names and names != {row["decided_by"]}:
        yield f"the log names {names}, the platform {row['decided_by']!r}"


def bounded(facts: Facts) -> Iterator[str]:
    """6. The end comes within the timeout plus five seconds; reads and reconnects keep their pace."""
    took = facts.seconds - facts.stopped - facts.starved
    if facts.timeout is not None and took > facts.timeout + 5 + MACHINE:
        yield f"it took {took:.1f} s, and was given {facts.timeout}"
    waiting = [at for at in facts.reads if facts.given_up is None or at < facts.given_up]
    # Three in a burst, and one that is made again because its answer was not clean.
    yield from _too_many(waiting, 4, "reads")
    yield from _too_many(facts.attempts, 1, "attempts at the socket")


def _too_many(times: Sequence[float], burst: int, what: str) -> Iterator[str]:
    """At most one a second, and so many in a burst; a tenth of a second is the two machines' disagreement."""
    for first, start in enumerate(times):
        for last in range(first + burst, len(times)):
            if last - first + 1 > burst + (times[last] - start + 0.1):
                paces = ", ".join(f"{at - start:.2f}" for at in times[first : last + 1])
                yield f"{last - first + 1} {what} in {times[last] - start:.2f} s: {paces}"
                return


def one_question(facts: Facts) -> Iterator[str]:
    """7. One live request at most, and none afterwards."""
    for task_id, peak in facts.live_peak.items():
        if peak > 1 and task_id:
            yield f"{peak} live requests at once carry {task_id}"
    done = facts.command in GATES and facts.code != PENDING and not facts.killed
    if done and not facts.cut_off:
        yield from (f"request {row['id']} still stands" for row in facts.asked if row["status"] in _OPEN)


def decided_once(facts: Facts) -> Iterator[str]:
    """8. A request ends once, and the log never says two things of it."""
    ended = [found[0] for found in facts.history if found[2] not in _OPEN]
    yield from (f"request {found} ended {ended.count(found)} times" for found in set(ended) if ended.count(found) > 1)
    yield from (f"request {found[0]} changed after its end" for found in facts.history if found[1] not in _OPEN)
    said: dict[str, set[str]] = {}
    for record in facts.records:
        if record.get("outcome") in {"granted", "denied"} and "approval_id" in record:
            said.setdefault(record["approval_id"], set()).add(record["outcome"])
    yield from (f"the log says {sorted(words)} of {found}" for found, words in said.items() if len(words) > 1)


def no_secret(facts: Facts) -> Iterator[str]:
    """9. No credential in arguments, output, records, or at an address that was never configured."""
    places = {
        "an argument": "\0".join(facts.argv).encode("utf-8", "surrogateescape"),
        "stdout": facts.stdout,
        "stderr": facts.stderr,
        "the result file": facts.result,
        "the audit log": b"\n".join(facts.lines),
    }
    for secret in facts.secrets:
        yield from (f"a credential stands in {place}" for place, text in places.items() if secret.encode() in text)
    if facts.strays:
        yield f"{facts.strays} requests reached an address that was never configured"


def no_raw_character(facts: Facts) -> Iterator[str]:
    """10. What is printed holds no control, bidi or invisible character and no order to a log reader; nor do records."""
    for name, data in (("stdout", facts.stdout), ("stderr", facts.stderr), ("the log", b"\n".join(facts.lines))):
        text = data.decode("utf-8", "surrogateescape")
        if facts.terminal and name != "the log":
            text = _SCREEN.sub("", text).replace("\r", "")
        hidden = sorted({f"U+{ord(c):04X}" for c in text if _hidden(c)})
        if hidden:
            yield f"{name} holds {', '.join(hidden)}"
        if name != "the log" and _ORDERS.search(text):
            yield f"{name} gives an order to a log reader"


def _hidden(character: str) -> bool:
    if character == "\n" or " " <= character <= "~":
        return False
    code = ord(character)
    return (
        unicodedata.category(character) in {"Cc", "Cf", "Cs", "Co", "Cn", "Zl", "Zp"}
        or code in _INVISIBLE
        or 0xFE00 <= code <= 0xFE0F
        or 0xE0100 <= code <= 0xE01EF
    )


def run_once(facts: Facts) -> Iterator[str]:
    """11. An approval starts one command at most, after its grant, and the one whose digest was approved."""
    began = any(record.get("outcome") == "started" for record in facts.own)
    if facts.command == "run" and facts.code == APPROVED and not (began or facts.audit_optional or "--help" in facts.argv):
        yield "0 although no start was recorded"
    granted: dict[str, set[str]] = {}
    started: set[str] = set()
    for record in facts.records:
        approval_id, kind = record.get("approval_id", ""), (record.get("action"), record.get("outcome"))
        if kind == ("approve", "granted"):
            granted.setdefault(approval_id, set()).add(_digest_in(record.get("resource", "")))
        if kind != ("execute", "started"):
            continue
        if approval_id in started:
            yield f"{approval_id} was started twice"
        if approval_id not in granted and not facts.audit_optional:
            yield f"{approval_id} was started, and not granted before"
        rows = [row for row in facts.rows if row["id"] == approval_id]
        yield from (f"{approval_id} was started, and is {row['status']}" for row in rows if row["status"] != "approved")
        approved = {_digest_in(record.get("resource", "")), *granted.get(approval_id, ())}
        if {record.get("digest")} != approved.union(_digest_in(row["action"]) for row in rows):
            yield f"{approval_id} was started with another digest than the approved action's"
        started.add(approval_id)


def _digest_in(action: str) -> str:
    found = re.search(r"\ndigest: sha256:([0-9a-f]{64})\Z", action)
    return found[1] if found else ""


def follower_complete(facts: Facts) -> Iterator[str]:
    """12. What ``audit tail --json`` shows are the log's own lines, in order, each once, none left out between."""
    if facts.argv[:2] != ("audit", "tail") or "--json" not in facts.argv:
        return
    shown = facts.stdout.splitlines()
    if not shown:
        return
    start = facts.lines.index(shown[0]) if shown[0] in facts.lines else len(facts.lines)
    if tuple(shown) != facts.lines[start : start + len(shown)]:
        yield "the follower left out, doubled or reordered records"


RULES: tuple[Callable[[Facts], Iterator[str]], ...] = (
    genuine,
    recorded_once,
    no_by_default,
    nothing_lost,
    one_ending,
    bounded,
    one_question,
    decided_once,
    no_secret,
    no_raw_character,
    run_once,
    follower_complete,
)


def violations(facts: Facts) -> list[str]:
    """Everything that is wrong with a run, each with the rule that it breaks."""
    return [f"{rule.__name__}: {wrong}" for rule in RULES for wrong in rule(facts)]
