"""The whole examination: every subject has its say, whatever is wrong with another, and no secret is told."""

from __future__ import annotations

import re
from pathlib import Path
from typing import TYPE_CHECKING

from molecule_approve import doctor
from molecule_approve.doctor.checks import Grade, would_work
from molecule_approve.doctor.examination import examine
from molecule_approve.settings.resolve import Flags
from tests.doctor.conftest import Around, by_name, of_platform
from tests.integration import behaviours
from tests.pages import PAGES

if TYPE_CHECKING:
    from tests.integration.fake_platform import FakePlatform

ROOM = Path(str(doctor.__file__)).parent

SUBJECTS = ["settings", "platform", "log", "server", "machine"]


def test_the_page_has_a_row_for_every_check() -> None:
    """By its name, which scripts rely on; settings that are keys of config.yaml share one row."""
    texts = "".join(path.read_text("utf-8") for path in ROOM.glob("*.py"))
    named = set(re.findall(rf'"((?:{"|".join(SUBJECTS)})\.[a-z_]+)"', texts))
    rows = set(re.findall(r"(?m)^\| `([a-z]+\.[a-z_]+)", PAGES["docs/doctor.md"]))
    assert len(named) > 15
    assert named - rows == set()
    assert {row for row in rows - named if not row.startswith("settings.")} <= {"machine.completions", "machine.hooks"}


def test_where_all_is_well_a_request_would_work(around: Around, fake: FakePlatform, tmp_path: Path) -> None:
    """Every subject in its order, nothing asked, and no audit log made."""
    found = list(examine(around(**of_platform(fake))))
    assert list(dict.fromkeys(finding.check.partition(".")[0] for finding in found)) == SUBJECTS
    assert would_work(found)
    assert fake.rows == []
    assert not (tmp_path / "log").exists()


def test_a_broken_config_yaml_does_not_stop_the_other_subjects(around: Around, tmp_path: Path) -> None:
    """The log is known by its variable, but not without config.yaml; the machine is looked at all the same."""
    path = tmp_path / "config.yaml"
    path.write_text("approve: [\n")
    path.chmod(0o600)
    found = by_name(examine(around(Flags(config=str(path)))))
    assert found["settings.config"].result is Grade.FAILED
    assert found["platform.connection"].result is Grade.SKIPPED
    assert found["log.end"].result is Grade.FAILED
    assert found["server.separation"].result is Grade.SKIPPED
    assert found["machine.ci"].result is Grade.OK


def test_an_invalid_token_does_not_stop_the_checks_of_the_log(around: Around) -> None:
    """Its path is known."""
    found = by_name(examine(around(MOLECULE_TOKEN="a b")))
    assert (found["settings.values"].result, found["log.write"].result) == (Grade.FAILED, Grade.OK)


def test_an_optional_log_fails_nothing(around: Around, fake: FakePlatform, tmp_path: Path) -> None:
    """Requests go on without it."""
    path = tmp_path / "config.yaml"
    path.write_text("approve:\n  audit: optional\n")
    path.chmod(0o600)
    variables = of_platform(fake, AUDIT_LOG_PATH="/dev/null/audit.jsonl")
    found = list(examine(around(Flags(config=str(path)), **variables)))
    assert by_name(found)["log.write"].result is Grade.WARNING
    assert would_work(found)


def test_a_server_that_repeats_the_token_does_not_make_us_tell_it(around: Around, fake: FakePlatform) -> None:
    """Its words are shown without it."""
    fake.on("list", behaviours.status(400, f"bad token {fake.token}"))
    found = by_name(examine(around(**of_platform(fake))))
    assert "bad token" in found["platform.answer"].detail
    assert fake.token not in str(found)
