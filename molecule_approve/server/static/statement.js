// What an approver signs: a canonical text (RFC 8785) of the request and the decision, as proofs/statement.py makes it. It is
// made of what this page shows; the request's `subject` only has to say the same.

const TYPE = "molecule-approve decision v1";
const BOUND = /\ndigest: sha256:([0-9a-f]{64})$/u;
const NAMES = {
  workspace: "workspace",
  request: "id",
  requester: "requester",
  action: "action",
  reason: "reason",
  context_sha256: "context",
  run_sha256: "digest of the command",
  rule: "rule",
  approvals: "number of approvals",
};

/** The value as RFC 8785 writes it. A number that JavaScript cannot hold keeps the digits that the server sent. */
export function canonical(value) {
  if (Array.isArray(value)) {
    return `[${value.map(canonical).join(",")}]`;
  }
  if (JSON.isRawJSON?.(value)) {
    return /^-?\d+$/u.test(value.rawJSON) ? value.rawJSON : JSON.stringify(Number(value.rawJSON));
  }
  if (typeof value === "object" && value !== null) {
    const fields = Object.keys(value).sort().map((key) => `${JSON.stringify(key)}:${canonical(value[key])}`);
    return `{${fields.join(",")}}`;
  }
  return JSON.stringify(value);
}

const sha256 = async (text) => new Uint8Array(await crypto.subtle.digest("SHA-256", new TextEncoder().encode(text)));
const hex = (bytes) => [...bytes].map((byte) => byte.toString(16).padStart(2, "0")).join("");

/** What this page shows of the request, as a statement says it. */
async function shown({ workspace_id: workspace, id, requested_by: requester, action, reason, context, approvals }) {
  const isEmpty = !context || Object.keys(context).length === 0;
  return {
    workspace,
    request: id,
    requester: requester ?? null,
    action,
    reason: reason ?? "",
    context_sha256: isEmpty ? null : hex(await sha256(canonical(context))),
    run_sha256: BOUND.exec(action)?.[1] ?? null,
    rule: approvals.rule,
    approvals: approvals.need,
  };
}

/** What would be signed and is not what this page shows, in words; "" if both are the same. */
export async function difference(request) {
  const here = await shown(request);
  const other = Object.keys(here).filter((name) => request.subject?.[name] !== here[name]);
  return other.map((name) => NAMES[name]).join(", ");
}

/** The text of a decision at this moment, in milliseconds of the server's clock. */
export function statementOf(subject, decision, approver, moment) {
  const at = new Date(moment).toISOString().replace("Z", "000Z");
  return canonical({ ...subject, type: TYPE, decision, approver, at });
}

/** What a passkey signs of a statement. */
export const challengeOf = (text) => sha256(`${TYPE}\n${text}`);

/** What a new passkey signs: the hash of the link's code, or of the approver's id. */
export const enrolmentChallenge = (secret) => sha256(`molecule-approve passkey enrolment v1\n${secret}`);

/** What a passkey signs to vouch for a new one, by the new one's attestation. */
export async function additionChallenge(user, attestation) {
  const attested = hex(new Uint8Array(await crypto.subtle.digest("SHA-256", attestation)));
  return sha256(`molecule-approve passkey addition v1\n${user}\n${attested}`);
}
