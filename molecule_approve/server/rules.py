"""Everything that says who may decide a request: put together once, for all parts of the server that ask."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

from .deciding import Deciding
from .policies import Policies
from .proof_checks import ProofChecks
from .self_approval import SelfApproval
from .standings import Standings

if TYPE_CHECKING:
    from .plan import ServePlan


@dataclass(frozen=True, slots=True)
class Rules:
    """The rules of one server."""

    self_approval: SelfApproval
    policies: Policies
    deciding: Deciding
    standings: Standings
    proof_checks: ProofChecks

    @classmethod
    def of(cls, plan: ServePlan, server_id: str, origins: tuple[str, ...]) -> Rules:
        """The rules of a server with this id, on whose pages passkeys may be used at these origins."""
        self_approval = SelfApproval(plan.self_approval)
        policies = Policies(self_approval, plan.policy)
        proof_checks = ProofChecks(server_id, origins)
        deciding = Deciding(self_approval, policies.is_member, proof_checks.check)
        return cls(self_approval, policies, deciding, Standings(server_id, policies.is_member, self_approval), proof_checks)
