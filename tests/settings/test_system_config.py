"""system_config.py: root's own settings, and what a user, or an agent in a user's place, cannot change of them."""

from __future__ import annotations

import os
import struct
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

from molecule_approve.errors import ConfigError, UsageError
from molecule_approve.paths import SYSTEM, SystemPlace, locate
from molecule_approve.policy.hook_rules import Then
from molecule_approve.settings import resolve as resolve_module
from molecule_approve.settings.resolve import Flags, Settings
from molecule_approve.settings.system_config import _way, changeable
from tests.users import become

if TYPE_CHECKING:
    from molecule_approve.paths import Places

NOBODY = 65534
NOT_NAMED = 0xFFFFFFFF
Resolve = Callable[..., Settings]
Write = Callable[[str], Path]
Written = Callable[[str], Flags]

needs_root = pytest.mark.skipif(os.geteuid() != 0, reason="only root can give a file away")


@pytest.fixture
def system(home: Path) -> Write:
    """Writes the system's file."""

    def write(text: str) -> Path:
        path = home / "etc" / "config.yaml"
        path.parent.mkdir(exist_ok=True)
        path.write_text(text)
        path.chmod(0o644)
        return path

    return write


@pytest.fixture
def resolve(home: Path, places: Places) -> Resolve:
    """``resolve`` with this system's file, which belongs to us, and a user without settings."""
    mine = places._replace(system=SystemPlace(home / "etc" / "config.yaml", os.geteuid()))

    def call(flags: Flags | None = None, **environ: str) -> Settings:
        surroundings = {"CONFIGS_DIR": str(home), "MOLECULE_TOKEN": "t", **environ}
        return resolve_module.resolve(flags or Flags(), surroundings, mine, at_terminal=False)

    return call


@contextmanager
def as_nobody() -> Iterator[None]:
    """We are a user who owns nothing here; without root that is what we are, outside our own folders."""
    me = os.geteuid()
    if me == 0:
        become(NOBODY)
    try:
        yield
    finally:
        if me == 0:
            become(0)


LOCKED = """\
approve:
  locked: [platform_url, timeout]
  platform_url: https://platform.example.org
  timeout: 10m
  poll_interval: 7s
"""


# --- the place ---------------------------------------------------------------------------------------------------------


def test_the_place_is_the_same_for_all() -> None:
    """No variable moves it."""
    found = locate({"HOME": "/home/me", "XDG_CONFIG_HOME": "/x", "XDG_STATE_HOME": "/x", "WORKSPACE_CONFIG_PATH": "/x"})
    assert found.system == SYSTEM == SystemPlace(Path("/etc/molecule-approve/config.yaml"), 0)


def test_without_the_file_nothing_changes(resolve: Resolve) -> None:
    """Most systems have none."""
    assert resolve(PLATFORM_URL="https://env").platform_url.value == "https://env"


# --- values ------------------------------------------------------------------------------------------------------------


def test_the_system_s_values_count_before_the_defaults(resolve: Resolve, system: Write) -> None:
    """Each knows its file and line."""
    path = system(LOCKED)
    found = resolve()
    assert found.platform_url.value == "https://platform.example.org"
    assert found.platform_url.source == f"{path}, line 3: approve.platform_url"
    assert (found.timeout.value, found.poll_interval.value) == (600.0, 7.0)


def test_what_is_not_locked_can_be_changed(resolve: Resolve, system: Write, written: Written) -> None:
    """By config.yaml, a variable and an option."""
    system(LOCKED)
    assert resolve(written("approve: {poll_interval: 3}")).poll_interval.value == 3
    assert resolve(APPROVAL_POLL_INTERVAL="4").poll_interval.value == 4
    assert resolve(Flags(poll_interval="5")).poll_interval.value == 5


@pytest.mark.parametrize(
    ("flags", "environ", "source"),
    [
        (Flags(platform_url="https://evil"), {}, "--platform-url"),
        (Flags(), {"PLATFORM_URL": "https://evil"}, "PLATFORM_URL"),
        (Flags(), {"PLATFORM_URL": "local"}, "PLATFORM_URL"),
        (Flags(timeout="1s"), {}, "--timeout"),
        (Flags(timeout="600"), {}, "--timeout"),
    ],
)
def test_another_value_for_what_is_locked_is_an_error(
    resolve: Resolve, system: Write, flags: Flags, environ: dict[str, str], source: str
) -> None:
    """It names both sources; the value is compared as it is written."""
    path = system(LOCKED)
    with pytest.raises(UsageError) as caught:
        resolve(flags, **environ)
    assert caught.value.message.startswith(f"{source}: another value than {path}, line ")
    assert caught.value.message.endswith(", which is locked")
    assert caught.value.hint == f"remove it here; only root can change {path}"


def test_another_value_in_config_yaml_is_an_error_too(resolve: Resolve, system: Write, written: Written) -> None:
    """With its line."""
    system(LOCKED)
    with pytest.raises(ConfigError, match=r"mine.yaml, line 1: approve.timeout: another value than"):
        resolve(written("approve: {timeout: 5m}"))


def test_the_same_value_is_no_error(resolve: Resolve, system: Write) -> None:
    """And the source is the system's file, whoever repeats it."""
    path = system(LOCKED)
    found = resolve(Flags(platform_url="https://platform.example.org"), APPROVAL_TIMEOUT="10m")
    assert found.platform_url.source.startswith(f"{path}, ")
    assert found.timeout.source.startswith(f"{path}, ")


def test_the_audit_log_alone_is_locked_too(system: Write, places: Places) -> None:
    """For commands that contact no platform."""
    path = system("approve: {locked: [audit_log], audit_log: /var/log/a.jsonl}")
    mine = places._replace(system=SystemPlace(path, os.geteuid()))
    environ = {"CONFIGS_DIR": str(path.parent)}
    assert resolve_module.resolve_audit_log(Flags(), environ, mine).value == Path("/var/log/a.jsonl")
    with pytest.raises(UsageError, match="--audit-log: another value than"):
        resolve_module.resolve_audit_log(Flags(audit_log="/tmp/mine"), environ, mine)


# --- hooks -------------------------------------------------------------------------------------------------------------

OWN_HOOKS = "approve: {hooks: [{tool: '*', then: pass}]}"
HOOKS = "approve: {hooks: [{tool: Bash, then: deny}]}"


def test_the_system_s_hooks_count_where_the_user_has_none(resolve: Resolve, system: Write, written: Written) -> None:
    """The user's own come first; there need be none at all."""
    assert resolve(written(OWN_HOOKS)).hooks.value[0].then is Then.PASS
    path = system(HOOKS)
    assert resolve().hooks.value[0].then is Then.DENY
    assert resolve().hooks.source == f"{path}: approve.hooks"
    assert resolve(written(OWN_HOOKS)).hooks.value[0].then is Then.PASS
    assert resolve(written("approve: {timeout: 5m}")).hooks.value[0].then is Then.DENY


def test_locked_hooks_are_the_system_s(resolve: Resolve, system: Write, written: Written) -> None:
    """A user's own are an error, and never quietly ignored."""
    path = system(HOOKS.replace("{hooks", "{locked: [hooks], hooks"))
    assert resolve(written("approve: {timeout: 5m}")).hooks.value[0].then is Then.DENY
    with pytest.raises(ConfigError) as caught:
        resolve(written(OWN_HOOKS))
    assert caught.value.message.endswith(f"mine.yaml: approve.hooks: another value than {path}, which is locked")
    assert caught.value.hint == f"remove it here; only root can change {path}"


# --- the file itself ---------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("approve: {locked: [platform_url]}", "line 1: approve.locked: platform_url has no value in this file"),
        ("approve: {locked: [platfrom_url]}", "line 1: approve.locked: platfrom_url has no value in this file"),
        ("approve: {locked: [hooks]}", "line 1: approve.locked: hooks has no value in this file"),
        ("approve: {locked: platform_url}", "approve.locked: is text, not a list"),
        ("approve: {locked: [platform_url], platform_url: local}", "platform_url: local cannot be locked"),
        ("rbac: {roles: [admin]}", "rbac: and approve.headers are not read here"),
        ("rbac: {allowed_actions: {x: [approve]}}", "rbac: and approve.headers are not read here"),
        ("approve: {headers: {X-A: b}}", "rbac: and approve.headers are not read here"),
        ("approve: [", "invalid YAML"),
    ],
)
def test_a_file_that_is_not_valid_is_an_error(resolve: Resolve, system: Write, text: str, message: str) -> None:
    """A lock that does not hold would be worse than none."""
    path = system(text)
    with pytest.raises(ConfigError) as caught:
        resolve()
    assert str(path) in caught.value.message
    assert message in caught.value.message


def test_a_user_s_config_yaml_locks_nothing(resolve: Resolve, written: Written) -> None:
    """Whoever can write it could remove the lock."""
    with pytest.raises(ConfigError, match=r"mine.yaml: approve.locked has no effect here") as caught:
        resolve(written("approve: {locked: []}"))
    assert "which must belong to root" in caught.value.hint


@pytest.mark.parametrize(("mode", "refused"), [(0o755, False), (0o775, True), (0o777, True), (0o1777, False)])
def test_a_folder_that_others_can_write_is_refused(
    resolve: Resolve, system: Write, home: Path, mode: int, *, refused: bool
) -> None:
    """They could put another file there, except in a sticky folder."""
    path = system(LOCKED)
    if os.geteuid() == 0:
        os.chown(path.parent, 0, NOBODY)
    path.parent.chmod(mode)
    if not refused:
        assert resolve().timeout.value == 600
        return
    with pytest.raises(ConfigError, match=f"is not only root's: others can change {home}/etc"):
        resolve()


def test_a_file_that_others_can_write_is_refused(resolve: Resolve, system: Write) -> None:
    """As with every file of ours."""
    system(LOCKED).chmod(0o666)
    with pytest.raises(ConfigError, match="other users can write"):
        resolve()


@needs_root
def test_root_s_own_group_is_somebody_else(resolve: Resolve, system: Write) -> None:
    """In some containers every user is in it; and its bits are what an access control list grants to anybody."""
    system(LOCKED).parent.chmod(0o775)
    with pytest.raises(ConfigError, match="is not only root's"):
        resolve()


@needs_root
def test_a_folder_that_a_list_lets_a_user_write_is_refused(resolve: Resolve, system: Write) -> None:
    """The list says user 65534: rwx; its entries: acl(5), with the numbers of linux/posix_acl_xattr.h."""
    folder = system(LOCKED).parent
    folder.chmod(0o755)
    entries = ((1, 7, NOT_NAMED), (2, 7, NOBODY), (4, 5, NOT_NAMED), (16, 7, NOT_NAMED), (32, 5, NOT_NAMED))
    packed = b"".join(struct.pack("<HHI", *entry) for entry in entries)
    try:
        os.setxattr(folder, "system.posix_acl_access", struct.pack("<I", 2) + packed)
    except OSError as exc:
        pytest.skip(f"the file system has no such lists: {exc.strerror}")
    with pytest.raises(ConfigError, match="is not only root's"):
        resolve()


@needs_root
def test_a_file_of_another_user_is_refused(resolve: Resolve, system: Write, places: Places) -> None:
    """Also if that user is who reads it: that is the whole point; also a link that is another user's."""
    path = system(LOCKED)
    os.chown(path.parent, NOBODY, 0)
    with pytest.raises(ConfigError, match="is not only root's"):
        resolve()
    os.chown(path.parent, 0, 0)
    link = path.parent / "link.yaml"
    link.symlink_to("config.yaml")
    mine = places._replace(system=SystemPlace(link))
    environ = {"CONFIGS_DIR": str(path.parent)}
    assert resolve_module.resolve(Flags(), environ, mine, at_terminal=False).timeout.value == 600
    os.chown(link, NOBODY, 0, follow_symlinks=False)
    with pytest.raises(ConfigError, match=r"others can change .*/link.yaml"):
        resolve_module.resolve(Flags(), environ, mine, at_terminal=False)


# --- a config.yaml that its reader can change --------------------------------------------------------------------------


def test_locked_config_refuses_a_file_that_we_can_change(resolve: Resolve, system: Write, written: Written) -> None:
    """Whoever can write config.yaml can give itself another role, or other rules."""
    path = system("approve: {locked: [config]}")
    flags = written("approve: {timeout: 5m}")
    with pytest.raises(ConfigError) as caught:
        resolve(flags)
    assert caught.value.message.startswith(f"{flags.config} is refused, because this user can change /")
    assert caught.value.message.endswith(f"and {path} locks config")
    assert "let root own the file" in caught.value.hint
    assert resolve().timeout.value == 300


@needs_root
def test_locked_config_accepts_a_file_that_we_cannot_change(home: Path, places: Places) -> None:
    """It belongs to root, as all above it."""
    home.chmod(0o755)
    for name, text in (("system.yaml", "approve: {locked: [config]}"), ("mine.yaml", "approve: {timeout: 5m}")):
        (home / name).write_text(text)
        (home / name).chmod(0o644)
    mine = places._replace(system=SystemPlace(home / "system.yaml"))
    environ = {"CONFIGS_DIR": "/nowhere", "AUDIT_LOG_PATH": "/x"}
    flags = Flags(config=str(home / "mine.yaml"))
    with as_nobody():
        assert resolve_module.resolve(flags, environ, mine, at_terminal=False).timeout.value == 300


@pytest.mark.parametrize("path", ["/etc/passwd", "/usr/../etc/passwd", "/proc/1/status"])
def test_the_system_s_files_are_not_ours(path: str) -> None:
    """Whatever way leads there."""
    with as_nobody():
        assert changeable(Path(path)) is None


def test_root_can_change_everything() -> None:
    """And everybody their own."""
    assert (changeable(Path("/etc/passwd")) == Path("/")) is (os.geteuid() == 0)


@needs_root
def test_what_lies_on_the_way_counts(home: Path) -> None:
    """A folder, a link, a file and a link's target: whoever can replace one of them decides what is read."""
    for name in ("ours", "theirs", "theirs/inner"):
        (home / name).mkdir()
    (home / "theirs" / "file").write_text("")
    (home / "theirs" / "open").write_text("")
    (home / "theirs" / "open").chmod(0o666)
    (home / "ours" / "link").symlink_to(home / "theirs")
    (home / "theirs" / "back").symlink_to("../ours")
    (home / "theirs" / "safe").symlink_to("inner/../file")
    (home / "theirs" / "given").symlink_to("file")
    os.chown(home / "ours", NOBODY, NOBODY)
    os.chown(home / "theirs" / "given", NOBODY, NOBODY, follow_symlinks=False)
    home.chmod(0o755)
    cases: dict[str, Path | None] = {
        "theirs/file": None,
        "theirs/safe": None,
        "theirs/open": home / "theirs" / "open",
        "ours/link/file": home / "ours",
        "theirs/back/link/file": home / "ours",
        "theirs/given": home / "theirs" / "given",
        "theirs/none": home / "theirs" / "none",
    }
    with as_nobody():
        found = {path: changeable(home / path) for path in cases}
    assert found == cases


@needs_root
def test_a_sticky_folder_keeps_what_others_made(home: Path) -> None:
    """As /tmp does."""
    (home / "sticky").mkdir()
    (home / "sticky").chmod(0o1777)
    (home / "sticky" / "file").write_text("")
    home.chmod(0o755)
    with as_nobody():
        assert changeable(home / "sticky" / "file") is None


def test_links_without_an_end_are_an_error(tmp_path: Path) -> None:
    """No number of steps leads out of a circle."""
    circle = tmp_path / "circle"
    circle.symlink_to(circle)
    with pytest.raises(ConfigError, match="leads through too many links"):
        list(_way(circle))


# --- authorities of one's own ------------------------------------------------------------------------------------------


@pytest.mark.parametrize("name", ["SSL_CERT_FILE", "SSL_CERT_DIR"])
def test_a_locked_platform_takes_no_authority_of_the_user_s(resolve: Resolve, system: Write, home: Path, name: str) -> None:
    """Whoever chooses the authorities could be the platform."""
    mine = home / "mine.pem"
    mine.write_text("")
    assert resolve(**{name: str(mine)}).platform_url.source == "default"
    path = system(LOCKED)
    with pytest.raises(ConfigError) as caught:
        resolve(**{name: str(mine)})
    assert caught.value.message.startswith(f"{name}: this user can change {mine}, and {path} locks the platform")
    assert resolve(**{name: ""}).timeout.value == 600


@needs_root
def test_an_authority_of_the_system_s_is_taken(system: Write, home: Path, places: Places) -> None:
    """What only root can change is root's choice."""
    mine = places._replace(system=SystemPlace(system(LOCKED)))
    home.chmod(0o755)
    environ = {"CONFIGS_DIR": "/nowhere", "AUDIT_LOG_PATH": "/x", "SSL_CERT_FILE": "/etc/passwd"}
    with as_nobody():
        assert resolve_module.resolve(Flags(), environ, mine, at_terminal=False).timeout.value == 600
