"""The fault table's rows in which a proxy stands before the platform, or the authorities that vouch for it are not there."""

from __future__ import annotations

from typing import TYPE_CHECKING

from tests.integration.fault import Arrange, Fault, both, names

if TYPE_CHECKING:
    from tests.integration.facts import Facts
    from tests.integration.program import World

EXAMPLES = {
    "the proxy": ("a proxy that is away", "a proxy that is not spoken to"),
    "authorities": ("authorities that cannot be read",),
}
POLL = ("poll",)
"""There is no path yet when these happen."""


def _sets(**environ: str) -> Arrange:
    return lambda world: world.env.update({"PLATFORM_URL": "https://platform.invalid", **environ})


def _at_elsewhere(scheme: str) -> Arrange:
    """A proxy is named at a port where somebody listens, who must hear nothing."""

    def arrange(world: World) -> None:
        _sets(HTTPS_PROXY=f"{scheme}://me:hush@127.0.0.1:{world.elsewhere.port}")(world)

    return arrange


def _hushed(world: World, facts: Facts) -> None:
    """The proxy's password is told to nobody."""
    assert b"hush" not in facts.stdout + facts.stderr
    assert world.elsewhere.seen == []


ROWS: tuple[Fault, ...] = (
    Fault(
        "a dead proxy",
        "a proxy that is away",
        125,
        "failure",
        POLL,
        arrange=_sets(HTTPS_PROXY="http://me:hush@127.0.0.1:1"),
        timeout=1,
        check=both(_hushed, names("cannot reach the proxy 127.0.0.1:1", "HTTPS_PROXY")),
        cut_off=True,
    ),
    *(
        Fault(
            f"a proxy at {scheme}://",
            "a proxy that is not spoken to",
            2,
            None,
            POLL,
            arrange=_at_elsewhere(scheme),
            check=both(_hushed, names("HTTPS_PROXY", word, "not supported")),
        )
        for scheme, word in (("https", "TLS to a proxy"), ("socks5h", "SOCKS"))
    ),
    *(
        Fault(
            f"a wrong {name}",
            "authorities that cannot be read",
            125,
            "failure",
            POLL,
            arrange=_sets(**{name: "/nowhere/authorities"}),
            timeout=1,
            check=names(name, "/nowhere/authorities"),
            cut_off=True,
        )
        for name in ("SSL_CERT_FILE", "SSL_CERT_DIR")
    ),
)
