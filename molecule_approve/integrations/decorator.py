"""``@requires_approval``: a function that runs only after a person approved this very call."""

from __future__ import annotations

import inspect
from collections.abc import Callable, Mapping
from functools import wraps
from string import Formatter
from typing import Any, NoReturn, ParamSpec, TypeVar, Unpack, cast

from molecule_approve.api import request_approval, request_approval_sync
from molecule_approve.errors import ApprovalError, UsageError
from molecule_approve.model import Verdict
from molecule_approve.safe_text import visible

from .tool_requests import RequestOptions, checked

P = ParamSpec("P")
R = TypeVar("R")


class NotApproved(ApprovalError):  # noqa: N818 - it says what is the case, as a verdict does
    """A call was not approved, and the function did not run.

    Attributes:
        verdict: who decided what, or what failed.
    """

    kind = "not_approved"

    def __init__(self, verdict: Verdict) -> None:
        super().__init__(visible(verdict.message), hint=verdict.error.hint if verdict.error else "")
        self.verdict = verdict

    def __reduce__(self) -> tuple[type[NotApproved], tuple[Verdict]]:
        """Pickle by the verdict: queues and pools carry exceptions to another process."""
        return type(self), (self.verdict,)


def requires_approval(
    action: str, *, reason: str = "", **options: Unpack[RequestOptions]
) -> Callable[[Callable[P, R]], Callable[P, R]]:
    """Gate a function: each call requests a person's approval, and runs the function only after it.

    A coroutine function waits without blocking the event loop; any other one blocks its thread. The function keeps its name,
    signature and annotations. Put it below ``@staticmethod``, ``@classmethod`` or ``@property``.

    Args:
        action: what is requested. ``{name}`` is the argument of that name, as ``str.format`` writes it; names of parameters
            only, no attributes and no indexes.
        reason: why; it is not formatted.
        options: as for :func:`molecule_approve.request_approval`; of ``context``, ``function`` is the function's own name.

    Raises:
        UsageError: at once, if the action names no parameter of the function, or the function cannot be gated: a generator
            runs after its call, in steps, and classes are refused too.
        NotApproved: by each call that was not approved, whatever the cause; also if the action's text is another one after
            the approval, because a list or an object in it was changed meanwhile.
    """
    checked(options)

    def decorate(function: Callable[P, R]) -> Callable[P, R]:
        gate = _CallGate(function, action, reason, options)
        return _asynchronous(function, gate) if _is_coroutine(function) else _synchronous(function, gate)

    return decorate


def _synchronous(function: Callable[P, R], gate: _CallGate) -> Callable[P, R]:
    @wraps(function)
    def gated(*args: P.args, **kwargs: P.kwargs) -> R:
        asked = gate.request(args, kwargs)
        _check(request_approval_sync(**asked))
        gate.check_unchanged(asked, args, kwargs)
        return function(*args, **kwargs)

    return gated


def _asynchronous(function: Callable[P, R], gate: _CallGate) -> Callable[P, R]:
    @wraps(function)
    async def gated(*args: P.args, **kwargs: P.kwargs) -> object:
        asked = gate.request(args, kwargs)
        _check(await request_approval(**asked))
        gate.check_unchanged(asked, args, kwargs)
        return await cast("Any", function(*args, **kwargs))

    return cast("Callable[P, R]", gated)


def _check(verdict: Verdict) -> None:
    if not verdict.approved:
        raise NotApproved(verdict)


class _CallGate:
    """What is requested for a call of this function.

    Raises:
        UsageError: as for ``requires_approval``.
    """

    def __init__(self, function: Callable[..., object], action: str, reason: str, options: RequestOptions) -> None:
        self._signature = _signature(function)
        _check_fields(action, self._signature)
        self._action, self._reason, self._options = action, reason, options
        self._name = f"{function.__module__}.{getattr(function, '__qualname__', type(function).__qualname__)}"

    def request(self, args: tuple[object, ...], kwargs: Mapping[str, object]) -> dict[str, Any]:
        """The arguments for ``request_approval``.

        Raises:
            NotApproved: the action cannot be formatted.
            TypeError: the function cannot be called like this.
        """
        bound = self._signature.bind(*args, **kwargs)
        bound.apply_defaults()
        try:
            action = self._action.format_map(bound.arguments)
            context = {**(self._options.get("context") or {}), "function": self._name}
        except Exception as exc:
            raise NotApproved(Verdict.of_error(exc)) from exc
        return {**self._options, "action": action, "reason": self._reason, "context": context}

    def check_unchanged(self, asked: Mapping[str, Any], args: tuple[object, ...], kwargs: Mapping[str, object]) -> None:
        """Raise NotApproved if the arguments no longer give the text that was approved: somebody else may hold them too."""
        now = self.request(args, kwargs)["action"]
        if now != asked["action"]:
            changed = UsageError(
                "the arguments changed after they were shown to the approver", hint="pass values that nothing changes"
            )
            raise NotApproved(Verdict.of_error(changed))


def _is_coroutine(function: Callable[..., object]) -> bool:
    return _is_any(function, inspect.iscoroutinefunction)


def _is_any(function: Callable[..., object], test: Callable[[Any], bool]) -> bool:
    """Whether the function, or the ``__call__`` of an object, is of this sort."""
    return test(function) or test(type(function).__call__)


def _signature(function: Callable[..., object]) -> inspect.Signature:
    if isinstance(function, staticmethod | classmethod | property):
        _refuse(f"a {type(function).__name__}", f"put @requires_approval below @{type(function).__name__}")
    if isinstance(function, type) or not callable(function):
        _refuse(f"{function!r:.80}", "gate a function or a method")
    if _is_any(function, inspect.isgeneratorfunction) or _is_any(function, inspect.isasyncgenfunction):
        _refuse("a generator, which runs in steps after its call", "gate a function that runs to its end")
    try:
        return inspect.signature(function)
    except ValueError as exc:
        raise UsageError(f"the parameters of {function!r:.80} are not known", hint="wrap it in a function of yours") from exc


def _refuse(what: str, hint: str) -> NoReturn:
    raise UsageError(f"@requires_approval cannot gate {what}", hint=hint)


def _check_fields(action: str, signature: inspect.Signature) -> None:
    try:
        parts = list(Formatter().parse(action))
    except (ValueError, TypeError) as exc:
        raise UsageError(f"the action {action!r:.80} is not a template: {exc}", hint="write {{ and }} for braces") from exc
    for _, field, spec, _ in parts:
        if "{" in (spec or ""):
            raise UsageError(f"the action {action!r:.80} has a field within a field", hint="use {name} alone")
        # Only names: an attribute or an index could reach anything that the argument is connected with.
        if field is not None and field not in signature.parameters:
            raise UsageError(
                f"the action names {{{field}}}, but the function has no such parameter",
                hint=f"use one of {', '.join(signature.parameters) or 'none'}",
            )
