"""``@requires_approval``: nothing but a person's approval of this very call runs the function."""

from __future__ import annotations

import asyncio
import contextlib
import functools
import inspect
import pickle
import threading
import typing
from collections.abc import AsyncIterator, Callable, Iterator
from typing import Any

import pytest

from molecule_approve import NotApproved, Outcome, Verdict, requires_approval
from molecule_approve.errors import ApprovalError, UsageError

if typing.TYPE_CHECKING:
    from tests.callers import Caller

Ran = list[object]


@pytest.fixture
def ran() -> Ran:
    """What ran."""
    return []


def test_an_approved_call_runs_once_with_its_arguments(caller: Caller, ran: Ran) -> None:
    """The text has the arguments, defaults included; the request has the reason, the context and the function's name."""

    @requires_approval("drop {table} of {db!r}", reason="spring {table}", context={"ticket": "7"})
    def drop(table: str, *, db: str = "staging") -> int:
        ran.append((table, db))
        return 5

    with caller.answering("drop users of 'staging'"):
        assert drop("users") == 5
    assert ran == [("users", "staging")]
    row = caller.desk.one(caller.requested())
    assert row["reason"] == "spring {table}"
    assert row["context"]["ticket"] == "7"
    assert row["context"]["function"].endswith(
        "test_decorator.test_an_approved_call_runs_once_with_its_arguments.<locals>.drop"
    )


def test_an_approved_coroutine_runs_and_the_loop_goes_on_meanwhile(caller: Caller, ran: Ran) -> None:
    """The decision comes from a task of the same loop."""

    @requires_approval("drop {table}")
    async def drop(table: str) -> str:
        ran.append(table)
        return table.upper()

    async def main() -> str:
        task = asyncio.create_task(drop("users"))
        approval_id = await asyncio.to_thread(caller.requested)
        caller.desk.decide(approval_id)
        return await task

    assert asyncio.run(main()) == "USERS"
    assert ran == ["users"]


Fault = tuple[dict[str, Any], str, Outcome]
FAULTS: dict[str, Fault] = {
    "denied": ({}, "denied", Outcome.DENIED),
    "late": ({"timeout": "1s"}, "", Outcome.TIMEOUT),
    "expired": ({"expires_in": 1}, "", Outcome.EXPIRED),
    "away": ({"platform_url": "http://127.0.0.1:9", "workspace_id": "w", "timeout": 1}, "", Outcome.FAILED),
    "misspelt value": ({"transport": "pigeon"}, "", Outcome.FAILED),
    "context that is none": ({"context": 7}, "", Outcome.FAILED),
}


@pytest.mark.parametrize(("options", "decision", "outcome"), FAULTS.values(), ids=FAULTS)
@pytest.mark.parametrize("kind", ["function", "coroutine"])
def test_whatever_is_no_approval_raises_and_runs_nothing(
    caller: Caller, ran: Ran, kind: str, options: dict[str, Any], decision: str, outcome: Outcome
) -> None:
    """The exception carries the verdict and says the same."""
    gate = requires_approval("drop {table}", **options)

    @gate
    def drop(table: str) -> None:
        ran.append(table)

    @gate
    async def drop_later(table: str) -> None:
        ran.append(table)

    def call() -> None:
        if kind == "function":
            drop("users")
        else:
            asyncio.run(drop_later("users"))

    answering = caller.answering("drop users", decision) if decision else contextlib.nullcontext()
    with answering, pytest.raises(NotApproved) as found:
        call()
    assert ran == []
    assert found.value.verdict.outcome is outcome
    assert str(found.value) == found.value.message == found.value.verdict.message
    assert isinstance(found.value, ApprovalError)


@pytest.mark.parametrize("kind", ["function", "coroutine"])
def test_arguments_that_changed_after_the_approver_saw_them_run_nothing(caller: Caller, ran: Ran, kind: str) -> None:
    """Whoever holds the same list could make another call of an approved one."""
    gate = requires_approval("drop {tables}")
    tables = ["scratch"]

    @gate
    def drop(tables: list[str]) -> None:
        ran.append(tables)

    @gate
    async def drop_later(tables: list[str]) -> None:
        ran.append(tables)

    def answer(approval_id: str) -> None:
        tables.append("users")
        caller.desk.decide(approval_id)

    with caller.answering("drop ['scratch']", answer), pytest.raises(NotApproved, match="the arguments changed") as found:
        drop(tables) if kind == "function" else asyncio.run(drop_later(tables))
    assert (ran, found.value.verdict.outcome) == ([], Outcome.FAILED)


def test_workspaces_without_the_role_run_nothing(caller: Caller, ran: Ran) -> None:
    """The hint is the verdict's."""
    caller.configure("rbac:\n  roles: [read-only]\n")
    with pytest.raises(NotApproved) as found:
        requires_approval("x")(lambda: ran.append(1))()
    assert (ran, found.value.verdict.outcome) == ([], Outcome.NOT_PERMITTED)
    assert "rbac.roles" in found.value.hint


def test_cancelling_the_coroutine_withdraws_and_runs_nothing(caller: Caller, ran: Ran) -> None:
    """CancelledError comes through."""

    @requires_approval("drop it")
    async def drop() -> None:
        ran.append(1)

    async def main() -> str:
        task = asyncio.create_task(drop())
        approval_id = await asyncio.to_thread(caller.requested)
        task.cancel()
        with pytest.raises(asyncio.CancelledError):
            await task
        return approval_id

    approval_id = asyncio.run(main())
    assert caller.desk.one(approval_id)["decided_by"] == "withdrawn"
    assert ran == []


class Table:
    """Methods of every sort."""

    def __init__(self, ran: Ran) -> None:
        self.ran = ran

    def __str__(self) -> str:
        return "users"

    @requires_approval("method {self} {row}")
    def method(self, row: int) -> None:
        self.ran.append(row)

    @staticmethod
    @requires_approval("static {row}")
    def static(row: int, ran: Ran) -> None:
        ran.append(row)

    @classmethod
    @requires_approval("class {row}")
    def of_class(cls, row: int, ran: Ran) -> None:
        ran.append((cls, row))

    @property
    @requires_approval("property")
    def size(self) -> int:
        self.ran.append("size")
        return 1

    @requires_approval("call {row}")
    async def __call__(self, row: int) -> None:
        self.ran.append(row)


@pytest.mark.parametrize(
    ("text", "call", "kept"),
    [
        ("method users 1", lambda table: table.method(1), 1),
        ("static 2", lambda table: table.static(2, table.ran), 2),
        ("class 3", lambda table: Table.of_class(3, table.ran), (Table, 3)),
        ("property", lambda table: table.size, "size"),
        ("call 4", lambda table: asyncio.run(table(4)), 4),
    ],
)
def test_methods_are_gated(caller: Caller, ran: Ran, text: str, call: Callable[[Table], object], kept: object) -> None:
    """Instance, static, class, property, and an object's call."""
    with caller.answering(text):
        call(Table(ran))
    assert ran == [kept]


def test_an_object_with_an_asynchronous_call_is_a_coroutine_function(caller: Caller, ran: Ran) -> None:
    """Gated from outside, as a partial of a coroutine function is."""

    class Drop:
        async def __call__(self, table: str) -> None:
            ran.append(table)

    gate = requires_approval("drop {table}")
    for gated in (gate(Drop()), gate(functools.partial(Drop().__call__))):
        assert inspect.iscoroutinefunction(gated)
        with caller.answering("drop users"):
            asyncio.run(typing.cast("Any", gated("users")))
    assert ran == ["users", "users"]


def test_collected_arguments_are_shown(caller: Caller, ran: Ran) -> None:
    """As the function gets them."""

    @requires_approval("{first} {rest} {named}")
    def collect(first: int, *rest: int, **named: int) -> None:
        ran.append((first, rest, named))

    with caller.answering("1 (2, 3) {'x': 4}"):
        collect(1, 2, 3, x=4)
    with caller.answering("1 () {}"):
        collect(1)
    assert ran == [(1, (2, 3), {"x": 4}), (1, (), {})]


def test_a_call_that_the_function_would_refuse_asks_nobody(caller: Caller) -> None:
    """Python's own TypeError."""
    gated: Any = requires_approval("drop {table}")(drop)
    with pytest.raises(TypeError, match="missing a required argument"):
        gated()
    assert caller.records() == []


class Unprintable:
    """Cannot be shown."""

    def __format__(self, spec: str) -> str:
        raise RuntimeError("no text")


@pytest.mark.parametrize("value", [Unprintable(), "", "x" * 5_000, "a\0b", "\ud800"])
def test_what_cannot_be_shown_cannot_be_approved(caller: Caller, ran: Ran, value: object) -> None:
    """An argument without a text, and a text that cannot be sent whole."""
    with pytest.raises(NotApproved) as found:
        requires_approval("{value}")(lambda value: ran.extend([value]))(value)
    assert (ran, found.value.verdict.outcome) == ([], Outcome.FAILED)
    assert all(record["outcome"] != "requested" for record in caller.records())


def test_the_message_moves_no_cursor() -> None:
    """A comment comes from elsewhere, and a traceback goes to a terminal."""
    verdict = Verdict(Outcome.DENIED, decided_by="eve", comment="\x1b[2Jgone")
    assert str(NotApproved(verdict)) == r"denied by eve (name not verified): \x1b[2Jgone"


def test_the_exception_can_be_pickled() -> None:
    """Pools and queues carry it to another process."""
    found = pickle.loads(pickle.dumps(NotApproved(Verdict(Outcome.DENIED, decided_by="alice"))))
    assert found.verdict == Verdict(Outcome.DENIED, decided_by="alice")


def test_name_signature_and_hints_are_kept() -> None:
    """Frameworks make a tool's schema of them."""

    @requires_approval("drop {table}")
    def drop(table: str, *, force: bool = False) -> list[int]:
        """Drop a table."""
        del table, force
        return []

    @requires_approval("drop")
    async def drop_later() -> None:
        """Nothing is in it."""

    assert (drop.__name__, drop.__doc__) == ("drop", "Drop a table.")
    assert str(inspect.signature(drop)) == "(table: 'str', *, force: 'bool' = False) -> 'list[int]'"
    assert typing.get_type_hints(drop) == {"table": str, "force": bool, "return": list[int]}
    assert inspect.iscoroutinefunction(drop_later)
    assert not inspect.iscoroutinefunction(drop)


# --- what is found where the function is made ------------------------------------------------------------------------------


def drop(table: str) -> None:
    """What is gated below."""
    del table


def steps() -> Iterator[int]:
    """Runs after its call."""
    yield 1


async def later_steps() -> AsyncIterator[int]:
    """Runs after its call, too."""
    yield 1


@pytest.mark.parametrize(
    ("action", "says"),
    [
        ("drop {tabel}", "{tabel}, but the function has no such parameter"),
        ("drop {}", "{}, but the function has no such parameter"),
        ("drop {0}", "{0}, but the function has no such parameter"),
        ("drop {table.__class__}", "{table.__class__}, but the function has no such parameter"),
        ("drop {table[0]}", "{table[0]}, but the function has no such parameter"),
        ("drop {table:{table}}", "a field within a field"),
        ("drop {table", "not a template"),
        ("drop {table!x!}", "not a template"),
        (7, "not a template"),
    ],
)
def test_a_template_that_names_no_parameter_is_refused(action: str, says: str) -> None:
    """At once, with the name; attributes and indexes are not looked up."""
    with pytest.raises(UsageError, match="the action") as found:
        requires_approval(action)(drop)
    assert says in found.value.message
    assert found.value.hint


@pytest.mark.parametrize(
    ("function", "says"),
    [
        (steps, "a generator"),
        (later_steps, "a generator"),
        (functools.partial(steps), "a generator"),
        (staticmethod(drop), "a staticmethod"),
        (Table.__dict__["of_class"], "a classmethod"),
        (property(drop), "a property"),
        (Table, "Table"),
        (7, "7"),
        (max, "the parameters of"),
    ],
)
def test_what_cannot_be_gated_is_refused(function: Any, says: str) -> None:  # noqa: ANN401 - also what is no function
    """A generator runs after its call; a class is no function; of some built-ins nobody knows the parameters."""
    with pytest.raises(UsageError) as found:
        requires_approval("x")(function)
    assert says in found.value.message
    assert found.value.hint


def test_an_unknown_option_is_refused() -> None:
    """A misspelt one must not be lost."""
    options: Any = {"time_out": 5}
    with pytest.raises(UsageError, match="unknown option time_out=") as found:
        requires_approval("x", **options)
    assert "timeout" in found.value.hint


def test_calls_at_once_are_requests_of_their_own(caller: Caller, ran: Ran) -> None:
    """In two threads, one approved and one denied."""

    @requires_approval("drop {table}")
    def drop(table: str) -> None:
        ran.append(table)

    denied: Ran = []

    def attempt() -> None:
        try:
            drop("b")
        except NotApproved as exc:
            denied.append(exc.verdict.outcome)

    thread = threading.Thread(target=attempt)
    with caller.answering("drop a"), caller.answering("drop b", "denied"):
        thread.start()
        drop("a")
        thread.join()
    assert (ran, denied) == (["a"], [Outcome.DENIED])
