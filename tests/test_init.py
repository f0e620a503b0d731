"""The package itself: its public names, loaded on first use."""

from __future__ import annotations

import inspect
import subprocess
import sys
import typing

import pytest

import molecule_approve
from molecule_approve import errors
from tests.callers import PATIENCE


def test_every_public_name_is_there() -> None:
    """And is what it says."""
    for name in molecule_approve.__all__:
        assert getattr(molecule_approve, name).__name__ == name


def test_every_public_name_has_hints_that_resolve() -> None:
    """Frameworks read signatures: those of functions, fields, methods and properties."""
    for name in molecule_approve.__all__:
        found = getattr(molecule_approve, name)
        typing.get_type_hints(found)
        for member in vars(found).values() if isinstance(found, type) else ():
            function = member.fget if isinstance(member, property) else member
            if inspect.isfunction(function):
                typing.get_type_hints(function)


def test_every_error_is_public() -> None:
    """The whole tree can be caught by name."""
    tree = {name for name, kind in vars(errors).items() if isinstance(kind, type) and issubclass(kind, BaseException)}
    assert tree <= set(molecule_approve.__all__)


def test_another_name_is_an_attribute_error() -> None:
    """As for every module."""
    with pytest.raises(AttributeError, match="module 'molecule_approve' has no attribute 'request_aproval'"):
        _ = molecule_approve.request_aproval


def test_importing_it_loads_nothing_of_ours() -> None:
    """Nor of others."""
    script = (
        "import sys; before = set(sys.modules); import molecule_approve; "
        "print(sorted(name for name in set(sys.modules) - before if '.' not in name))"
    )
    found = subprocess.run([sys.executable, "-S", "-c", f"import sys; sys.path.insert(0, '.'); {script}"],
                           capture_output=True, text=True, timeout=PATIENCE, check=True)  # fmt: skip
    loaded = set(eval(found.stdout))
    assert "molecule_approve" in loaded
    assert not loaded & {"httpx", "websockets", "asyncio", "yaml", "rich", "typer", "json", "inspect", "socket", "uuid"}
