"""Chromium's own virtual authenticator, which makes passkeys and signs without a person, as far as it is told to."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from playwright.sync_api import CDPSession

    from tests.inbox.seat import Seat


@dataclass
class VirtualAuthenticator:
    """The authenticator of one tab: present and verified, unless it is told otherwise."""

    tools: CDPSession
    options: dict[str, Any] = field(default_factory=dict)

    @classmethod
    def of(cls, seat: Seat, **options: bool | str) -> VirtualAuthenticator:
        """Plug one into this seat's tab."""
        tools = seat.context.new_cdp_session(seat.page)
        tools.send("WebAuthn.enable")
        return cls(tools, dict(options)).plugged()

    def plugged(self) -> VirtualAuthenticator:
        """The same, plugged in."""
        usual = {"protocol": "ctap2", "transport": "internal", "hasResidentKey": True, "hasUserVerification": True}
        more = {"isUserVerified": True, "automaticPresenceSimulation": True, **self.options}
        found = self.tools.send("WebAuthn.addVirtualAuthenticator", {"options": {**usual, **more}})
        self.id = str(found["authenticatorId"])
        return self

    def send(self, command: str, **parameters: Any) -> Any:  # noqa: ANN401 - JSON
        """One command of the protocol's WebAuthn domain, about this authenticator."""
        return self.tools.send(f"WebAuthn.{command}", {"authenticatorId": self.id, **parameters})

    def verify(self, verified: bool) -> None:
        """Whether it finds from now on that the person is who it knows."""
        self.send("setUserVerified", isUserVerified=verified)

    def touch(self, touched: bool) -> None:
        """Whether it is touched from now on."""
        self.send("setAutomaticPresenceSimulation", enabled=touched)

    def credentials(self) -> list[dict[str, Any]]:
        """Its passkeys."""
        found: list[dict[str, Any]] = self.send("getCredentials")["credentials"]
        return found

    def put(self, credential: dict[str, Any]) -> None:
        """Copy a passkey into it."""
        self.send("addCredential", credential=credential)
