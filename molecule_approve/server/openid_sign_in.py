"""REST for signing in through the provider of server.yaml, and which approver a person of the provider's is.

The page keeps a random verifier, and hands it over with the provider's answer: so neither an answer that somebody saw on its
way nor one of somebody else's sign-in is worth anything. The database keeps hashes, so that any server can finish what
another one began.
"""

from __future__ import annotations

import hmac
from collections.abc import Callable
from dataclasses import dataclass, replace
from functools import partial
from typing import TYPE_CHECKING

from molecule_approve.clock import utc_now
from molecule_approve.errors import UsageError

from .api import answer
from .bodies import parse_challenge, parse_return, read_body
from .database.values import KnownApprover, NameTakenError, OpenSignIn
from .names import checked_name
from .openid.faults import AnswerError, ProviderError
from .openid.steps import RETURN, Outset, Return, challenge_of
from .refusals import RefusedError, no_provider, not_approver, provider_failed, too_many_sign_ins, wrong_answer, wrong_return
from .sign_in import SECRET_BODY, SignedIn, page_address
from .tokens import hash_token, new_token

if TYPE_CHECKING:
    from .bodies import ReturnBody
    from .calls import HttpCall, Response
    from .database.transaction import Transaction
    from .openid.people import Person
    from .openid.provider import OpenIdProvider
    from .sign_in import SignInApi


@dataclass(frozen=True, slots=True)
class OpenIdApi:
    """The handlers. ``warn`` gets a sentence about each sign-in that the provider's side spoils."""

    provider: OpenIdProvider | None
    entrance: SignInApi
    warn: Callable[[str], None]

    async def start(self, call: HttpCall) -> Response:
        """``POST /desk/openid/start``: the address at the provider, for a page that keeps the verifier of this challenge."""
        self.entrance.access.admit_anyone(call)
        provider = self._known()
        challenge = parse_challenge(await read_body(call, SECRET_BODY))
        outset = Outset(page_address(call) + RETURN, new_token(), new_token(), challenge)
        try:
            address = await provider.address(outset)
        except ProviderError as exc:
            raise self._failed(exc) from exc
        begun = OpenSignIn(challenge, hash_token(outset.nonce))
        if not await self.entrance.database.write(partial(self._put, state_hash=hash_token(outset.state), begun=begun)):
            raise too_many_sign_ins()
        return answer({"address": address}, 201)

    async def finish(self, call: HttpCall) -> Response:
        """``POST /desk/openid/return``: a session for the provider's answer and the verifier, each good for once."""
        with self.entrance.access.admit_sign_in(call):
            provider = self._known()
            body = parse_return(await read_body(call, SECRET_BODY))
            begun = await self.entrance.database.write(partial(self._take, state_hash=hash_token(body.state)))
            if begun is None or not hmac.compare_digest(begun.challenge, challenge_of(body.verifier)):
                raise wrong_return()
            person = await self._person(provider, call, body, begun)
            enter = partial(self._enter, provider.subject_of(person), person, call.headers.get("user-agent") or "")
            entered = await self.entrance.database.write(enter)
            # A refusal that the job returns, because raised inside it would undo that sessions were ended.
            if isinstance(entered, RefusedError):
                raise entered
        return self.entrance.welcome(call, entered, "openid")

    def _known(self) -> OpenIdProvider:
        if self.provider is None:
            raise no_provider()
        return self.provider

    def _failed(self, error: ProviderError) -> RefusedError:
        self.warn(f"a sign-in failed: {error}")
        return provider_failed(f"the sign-in failed: {error}; try again, or ask the administrator")

    async def _person(self, provider: OpenIdProvider, call: HttpCall, body: ReturnBody, begun: OpenSignIn) -> Person:
        back = Return(body.code, body.verifier, page_address(call) + RETURN, begun.nonce_hash, body.issuer)
        try:
            person = await provider.person(back)
            person = replace(person, name=checked_name(person.name, "approver"))
        except ProviderError as exc:
            raise self._failed(exc) from exc
        except AnswerError as exc:
            self.warn(f"a sign-in was refused: {exc}")
            raise wrong_answer(f"the sign-in was refused: {exc}") from exc
        except UsageError as exc:
            raise wrong_answer(f"the sign-in was refused: {exc}") from exc
        return person

    def _put(self, transaction: Transaction, *, state_hash: str, begun: OpenSignIn) -> bool:
        limits = self.entrance.limits
        return transaction.openid.put(state_hash, begun, transaction.now, limits.openid, limits.openid_begun)

    def _take(self, transaction: Transaction, *, state_hash: str) -> OpenSignIn | None:
        return transaction.openid.take(state_hash, transaction.now, self.entrance.limits.openid)

    def _enter(self, subject: str, person: Person, client: str, transaction: Transaction) -> SignedIn | RefusedError:
        found = admit(transaction, person, subject)
        if isinstance(found, RefusedError):
            return found
        return SignedIn(found.name, self.entrance.sessions.begin(transaction, found.id, client))


def admit(transaction: Transaction, person: Person, subject: str) -> KnownApprover | RefusedError:
    """The approver that the person is, who is added at the first sign-in; or why the person is none.

    Names change hands at a provider, ids do not: an approver belongs to the first person who signs in under the name. The
    groups that the provider names hold until the next sign-in.
    """
    known = transaction.openid.identities(person.name, subject)
    if not person.is_approver:
        for one in known:
            if one.subject == subject:
                transaction.sign_ins.end_all(one.id)
                transaction.decisions.set_groups(one.id, ())
        return not_approver(person.name, "who is not an approver here; ask the administrator")
    valid = sorted((one for one in known if not one.revoked and _same(one.name, person.name)), key=lambda one: one.id)
    namesake = next((one for one in valid if one.name == person.name), valid[0] if valid else None)
    if any(one.revoked and (namesake is None or not _same(one.name, namesake.name)) for one in known):
        return not_approver(person.name, "and were revoked here; ask the administrator")
    if namesake is None:
        try:
            approver_id = transaction.credentials.add_approver(person.name, None, utc_now(), "openid")
        except NameTakenError as exc:  # in another Unicode form, or letter case that the database does not know
            return not_approver(person.name, f"but that name is taken by {exc.taken}; ask the administrator")
        namesake = KnownApprover(approver_id, person.name, "openid", subject, revoked=False)
    elif namesake.subject not in {None, subject}:
        return not_approver(person.name, "but that name belongs to another person here; ask the administrator")
    elif namesake.subject is None and not person.named:
        # Who is an approver by a group only could else take the name of anybody whom an administrator added.
        return not_approver(person.name, "but that name is taken; ask the administrator to list it under openid.approvers")
    transaction.openid.bind(namesake.id, subject)
    transaction.decisions.set_groups(namesake.id, person.groups)
    return namesake


def _same(one: str, other: str) -> bool:
    return one.lower() == other.lower()
