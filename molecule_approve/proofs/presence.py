"""Pure: what an approval proves beside the approver's credential, and what a rule can ask for."""

from __future__ import annotations

from enum import StrEnum


class Presence(StrEnum):
    """What an approval has to prove beside the approver's credential; each word asks for more than the one before."""

    NONE = "none"
    SIGNATURE = "signature"
    """A signature by an enrolled key of any kind; a plain SSH key proves the key, not a person."""
    REQUIRED = "required"
    """A person touched the key: a passkey, or a hardware SSH key whose signature says so."""
    VERIFIED = "verified"
    """The key has also verified the person, by a PIN or biometrics."""

    @property
    def rank(self) -> int:
        """Its place in this order."""
        return list(Presence).index(self)

    @property
    def sentence(self) -> str:
        """In words."""
        return _SENTENCES[self]


_SENTENCES = {
    Presence.NONE: "nothing",
    Presence.SIGNATURE: "a signature",
    Presence.REQUIRED: "that a person touched the key",
    Presence.VERIFIED: "that the key verified the person",
}
