// The passkeys of the approver who is signed in: which there are, whether one can be used in this page, and signing with one.

import { call } from "./session.js";
import { additionChallenge, challengeOf, difference, enrolmentChallenge, statementOf } from "./statement.js";
import { now } from "./times.js";
import { PasskeyError, isAble, make, prove } from "./webauthn.js";

const isKey = ({ id, label, credential_id: credential }) => [id, label, credential].every((part) => typeof part === "string");
const isFound = ({ name, user, keys }) =>
  typeof name === "string" && typeof user === "string" && Array.isArray(keys) && keys.every(isKey);
const isEnrolled = ({ status, name }) => status === "enrolled" && typeof name === "string";

/** Why passkeys of this site cannot be used in this page, in words; "" if they can. */
export function obstacleOf({ available, page }) {
  if (!available) {
    return "this server has no passkeys";
  }
  if (isElsewhere(page)) {
    return `passkeys work only at ${new URL(page).origin}${forwarding(new URL(page))}`;
  }
  return isAble() ? "" : "this browser has no passkeys";
}

// Where localhost has another port than the server, something forwards it, such as `ssh -L 9999:127.0.0.1:8788`.
function forwarding({ hostname, port }) {
  const isForwarded = hostname === "localhost" && location.port !== port;
  return isForwarded ? `; if you come through ssh -L, use the server's own port: ssh -L ${port}:127.0.0.1:${port}` : "";
}

/** Whether passkeys work at another address of this server: 127.0.0.1 cannot have any, and localhost can. */
export function isElsewhere(page) {
  return typeof page === "string" && new URL(page).origin !== location.origin;
}

/** Whose code of a link this is, and where passkeys can be used. Throws a CallError if it is not valid. */
export function invited(code) {
  const isOwner = ({ name, user, known }) => typeof name === "string" && typeof user === "string" && Array.isArray(known);
  return call("POST", "/desk/keys/invitation", isOwner, { code }, null);
}

/** Make a passkey and enrol it by the code of a link. */
export async function enrol(owner, code, label) {
  const { made } = await make(owner, await enrolmentChallenge(code));
  return call("POST", "/desk/keys/passkey", isEnrolled, { ...made, code, label }, null);
}

export class Passkeys {
  constructor() {
    this.waiting = null;
    this.clear();
  }

  clear() {
    this.found = null;
    this.cancel();
  }

  /** Wait for no passkey any more: what it would sign has ended. */
  cancel() {
    this.waiting?.abort();
    this.waiting = null;
  }

  /** Read which there are; whether that succeeded. */
  async load() {
    try {
      this.found = await call("GET", "/desk/passkeys", isFound);
      return true;
    } catch {
      return false;
    }
  }

  get keys() {
    return this.found?.keys ?? [];
  }

  /** Where they can be used, if that is not here. */
  get elsewhere() {
    return this.found?.available && isElsewhere(this.found.page) ? this.found.page : null;
  }

  /** Why none can be used here, in words; "" if one can. */
  get obstacle() {
    if (this.found === null) {
      return "your passkeys are not known yet";
    }
    return obstacleOf(this.found) || (this.keys.length > 0 ? "" : "you have no passkey here; your administrator makes you a link for one");
  }

  /** The statement of this decision, which a passkey has signed, and the proof of it. */
  async sign(request, decision) {
    const other = await difference(request);
    if (other) {
      throw new PasskeyError(`what would be signed is not what this page shows (${other}); reload the page`);
    }
    const statement = statementOf(request.subject, decision, this.found.name, now());
    return { statement, proof: await this.prove(await challengeOf(statement)) };
  }

  /** Remove one: it signs nothing any more. */
  remove(id) {
    return call("POST", `/desk/keys/${encodeURIComponent(id)}/remove`, ({ status }) => status === "removed", {});
  }

  prove(challenge) {
    this.cancel();
    this.waiting = new AbortController();
    return prove({ ...this.found, ids: this.keys.map((key) => key.credential_id) }, challenge, this.waiting.signal);
  }

  /** Make another passkey and enrol it; one that is enrolled vouches for it. */
  async add(label) {
    const owner = { ...this.found, known: this.keys.map((key) => key.credential_id) };
    const { made, attestation } = await make(owner, await enrolmentChallenge(owner.user));
    const proof = await this.prove(await additionChallenge(owner.user, attestation));
    return call("POST", "/desk/keys/passkey/further", isEnrolled, { ...made, label, proof });
  }
}
