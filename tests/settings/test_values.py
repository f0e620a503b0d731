"""config_values.py: one text, one value, or an error that names the source."""

from __future__ import annotations

import pwd
from pathlib import Path

import pytest

from molecule_approve.errors import ConfigError, UsageError
from molecule_approve.settings import values
from molecule_approve.settings.values import Sourced, Transport


@pytest.mark.parametrize("text", ["true", "TRUE", "1", "yes", "on", "On"])
def test_these_words_are_true(text: str) -> None:
    """The usual spellings."""
    assert values.boolean(text) is True


@pytest.mark.parametrize("text", ["false", "False", "0", "no", "off"])
def test_these_words_are_false(text: str) -> None:
    """The usual spellings."""
    assert values.boolean(text) is False


@pytest.mark.parametrize("text", ["y", "2", "enabled", "true ", ""])
def test_no_other_word_is_guessed_at(text: str) -> None:
    """A boolean that is neither is an error."""
    with pytest.raises(UsageError, match="not true or false"):
        values.boolean(text)


@pytest.mark.parametrize(("text", "seconds"), [("1", 1.0), ("24h", 86400.0), ("1d", 86400.0), ("2.5", 2.5)])
def test_a_span_allows_its_bounds(text: str, seconds: float) -> None:
    """Both bounds belong to it."""
    assert values.span(1, 86_400)(text) == seconds


@pytest.mark.parametrize("text", ["0", "0.999", "86400.1", "2d"])
def test_a_span_refuses_what_lies_outside(text: str) -> None:
    """The hint says which bounds there are."""
    with pytest.raises(UsageError, match="out of range") as caught:
        values.span(1, 86_400)(text)
    assert caught.value.hint == "write a duration from 1 s to 24 h"


@pytest.mark.parametrize(
    ("text", "read"),
    [
        ("65536", 65_536),
        ("64K", 65_536),
        ("64 KiB", 65_536),
        ("64kb", 65_536),
        ("16MiB", 16_777_216),
        ("1g", 1_073_741_824),
        ("70000B", 70_000),
        ("never", None),
        ("NEVER", None),
    ],
)
def test_a_size_is_bytes_with_units_of_1024(text: str, read: int | None) -> None:
    """Or no size at all."""
    assert values.size(text) == read


@pytest.mark.parametrize(
    ("text", "complaint"),
    [
        ("", "is not a size"),
        ("-1", "is not a size"),
        ("1.5M", "is not a size"),
        ("16 megabytes", "is not a size"),
        ("16M\n", "is not a size"),
        ("0x10000", "is not a size"),
        ("\u0661\u0662\u0663\u0664\u0665\u0666", "is not a size"),
        ("1" * 16, "is not a size"),
        ("off", "is not a size"),
        ("0", "is too small"),
        ("65535", "is too small"),
        ("63K", "is too small"),
    ],
)
def test_another_size_is_refused(text: str, complaint: str) -> None:
    """One record has up to 64 KiB: an archive for each would be none."""
    with pytest.raises(UsageError, match=complaint) as caught:
        values.size(text)
    assert caught.value.hint


@pytest.mark.parametrize("text", ["w", "3f2b8c1e-0000-4000-8000-000000000001", "a.b_c~d-e", "x" * 128, "..."])
def test_a_workspace_id_is_a_safe_segment_of_an_address(text: str) -> None:
    """It is kept as it is."""
    assert values.workspace(text) == text


@pytest.mark.parametrize("text", ["", ".", "..", "a/b", "a b", "a\n", "ä", "%2e", "x" * 129, "a?b"])
def test_other_workspace_ids_are_refused(text: str) -> None:
    """They would name another address."""
    with pytest.raises(UsageError, match="not a workspace id"):
        values.workspace(text)


@pytest.mark.parametrize("text", ["", "hunter2\n", "hun ter2", "hunter2\x00", "hünter2", "\x7fhunter2", "\r"])
def test_what_no_header_carries_is_no_token(text: str) -> None:
    """The error does not repeat it."""
    with pytest.raises(UsageError, match="not a token") as caught:
        values.token(text)
    assert "ter2" not in caught.value.message + caught.value.hint


def test_a_token_does_not_show() -> None:
    """It is wrapped as soon as it is read."""
    found = values.token("hunter2")
    assert found.reveal() == "hunter2"
    assert "hunter2" not in repr(Sourced(found, "MOLECULE_TOKEN"))


def test_a_path_holds_no_hidden_character() -> None:
    """NUL, line breaks and bidi overrides are refused, other text is kept."""
    assert values.path("/tmp/über mut") == Path("/tmp/über mut")
    for text in ("/tmp/\x00", "/tmp/a\nb", "/tmp/\u202e"):
        with pytest.raises(UsageError, match="control character"):
            values.path(text)


def test_a_path_may_begin_with_a_home_folder(monkeypatch: pytest.MonkeyPatch) -> None:
    """From a file or a quoted variable no shell has replaced it; nobody's home is a mistake."""
    monkeypatch.setenv("HOME", "/home/me")
    assert values.path("~/log/audit.jsonl") == Path("/home/me/log/audit.jsonl")
    assert values.path("~root/x") == Path(pwd.getpwnam("root").pw_dir) / "x"
    assert values.path("/a/~b") == Path("/a/~b")
    with pytest.raises(UsageError, match="there is no user for the home folder"):
        values.path("~no-such-user/x")


@pytest.mark.parametrize("transport", list(Transport))
def test_a_transport_has_three_names(transport: Transport) -> None:
    """auto, websocket, poll."""
    assert values.choice(transport.value) is transport


@pytest.mark.parametrize("text", ["", "Auto", "true", "websockets"])
def test_another_transport_is_refused(text: str) -> None:
    """The hint lists the names."""
    with pytest.raises(UsageError, match="not a transport"):
        values.choice(text)


@pytest.mark.parametrize(
    ("text", "transport"),
    [("auto", Transport.AUTO), ("AUTO", Transport.AUTO), ("true", Transport.WEBSOCKET), ("0", Transport.POLL)],
)
def test_the_environment_s_switch_means_a_transport(text: str, transport: Transport) -> None:
    """True forces the event stream, false polling."""
    assert values.switch(text) is transport


def test_another_switch_is_refused() -> None:
    """A transport's name is no switch."""
    with pytest.raises(UsageError, match="not auto, true or false"):
        values.switch("poll")


def test_audit_is_required_or_optional() -> None:
    """Two words and no others."""
    assert values.audit_is_optional("optional") is True
    assert values.audit_is_optional("required") is False
    with pytest.raises(UsageError, match="not required or optional"):
        values.audit_is_optional("no")


@pytest.mark.parametrize(("from_file", "kind"), [(False, UsageError), (True, ConfigError)])
def test_the_source_decides_which_error_it_is(kind: type[Exception], *, from_file: bool) -> None:
    """What came from a file is a ConfigError, anything else a UsageError; both name the source."""
    with pytest.raises(kind, match=r"^SOURCE: 'x' is not true or false"):
        values.read(Sourced("x", "SOURCE", from_file), values.boolean)


def test_an_empty_text_is_no_value() -> None:
    """A variable that is set to nothing is a mistake that is better told."""
    with pytest.raises(UsageError, match=r"^SOURCE: the value is empty"):
        values.read(Sourced("", "SOURCE"), values.boolean)


def test_a_value_keeps_its_source() -> None:
    """Reading changes the value only."""
    assert values.read(Sourced("on", "SOURCE", from_file=True), values.boolean) == Sourced(True, "SOURCE", from_file=True)


HEADER: Sourced[None] = Sourced(None, "FILE, line 3: approve.headers.X", from_file=True)


@pytest.mark.parametrize(("name", "value"), [("X-Molecule-Org-Id", "acme"), ("x", "a b"), ("X_y", "~!")])
def test_a_plain_header_passes(name: str, value: str) -> None:
    """Names of token characters, values of printable ASCII."""
    values.check_header(HEADER, name, value)


@pytest.mark.parametrize(
    "name",
    [
        "Authorization",
        "PROXY-authorization",
        "cookie",
        "Content-Length",
        "transfer-encoding",
        "Host",
        "connection",
        "upgrade",
        "Sec-WebSocket-Key",
        "sec-fetch-site",
        "X-Workspace-ID",
        "Idempotency-Key",
        "Content-Type",
        "TE",
    ],
)
def test_a_header_with_a_meaning_of_its_own_is_refused(name: str) -> None:
    """The credential, the length and the workspace are the program's to send; the value is not shown."""
    with pytest.raises(ConfigError, match="cannot be configured") as caught:
        values.check_header(HEADER, name, "hunter2")
    assert "hunter2" not in str(caught.value)


@pytest.mark.parametrize("value", ["https://canvas.example.com", "http://localhost:3000", "http://[::1]:8080"])
def test_an_origin_is_configured(value: str) -> None:
    """The origin that the platform's CORS_ORIGINS names: scheme, host, perhaps a port."""
    values.check_header(HEADER, "Origin", value)


@pytest.mark.parametrize(
    "value", ["null", "*", "canvas.example.com", "https://a/", "https://a/b", "https://u@a", "ftp://a", "https://a b"]
)
def test_what_is_no_origin_is_refused(value: str) -> None:
    """A browser would never send it, and no platform would take it."""
    with pytest.raises(ConfigError, match="not an origin"):
        values.check_header(HEADER, "origin", value)


@pytest.mark.parametrize("name", ["", "a b", "a:b", "ä", "a\n", "x" * 129, "[a]"])
def test_a_header_s_name_is_a_token(name: str) -> None:
    """RFC 9110's characters and no others."""
    with pytest.raises(ConfigError, match="not the name of a header"):
        values.check_header(HEADER, name, "v")


@pytest.mark.parametrize("value", ["", " ", " a", "a ", "a\nb", "a\rb", "ä", "a\x00", "a\tb"])
def test_a_header_s_value_is_printable(value: str) -> None:
    """No line can be smuggled in."""
    with pytest.raises(ConfigError, match="the header's value"):
        values.check_header(HEADER, "X-A", value)
