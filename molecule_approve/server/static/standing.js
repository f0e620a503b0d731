// How far a request is under its rule: who has approved it, who could still, and what the rule asks for.

import { make, show } from "./text.js";
import { showAgo } from "./times.js";

const DEFAULTS = "defaults";
const WORDS = { approved: "approved", denied: "denied" };
const PROOFS = { passkey: "with a passkey", ssh: "with an SSH key", "ssh-sk": "with a hardware SSH key" };
const PRESENCE = {
  signature: "a signature by a passkey or an SSH key",
  required: "a passkey, or a hardware SSH key that was touched",
  verified: "a passkey or a hardware SSH key that asks for a PIN, a finger or a face",
};

/** Whether two spellings are of one name. */
export const same = (one, other) => one?.normalize().toLowerCase() === other?.normalize().toLowerCase();

/** The groups and people who could still approve: `dba (bo, cy), eve`. */
export function waitingFor({ waiting_for: groups = [] }) {
  return groups.map(({ group, people }) => (group ? `${group} (${people.join(", ")})` : people.join(", "))).join(", ");
}

// Somebody's approval counts again: the next approval ends the request, whoever makes it.
const isEnough = (approvals) => approvals?.have >= approvals?.need;

/** How far a request is: `1 of 2: alice; waiting for dba (bo, cy)`. It waits for nobody once it has ended. */
export function progressOf(approvals, ended = false) {
  const { have, need, approved_by: by = [] } = approvals;
  const others = waitingFor(approvals);
  const waiting = isEnough(approvals) ? "; one more approval ends it" : others && `; waiting for ${others}`;
  return `${have} of ${need}${by.length > 0 ? `: ${by.join(", ")}` : ""}${ended ? "" : waiting}`;
}

/** A rule in a sentence; the policy's defaults are not one. */
export const nameOf = (rule) => (rule === DEFAULTS ? "the policy" : `rule ${rule}`);

/** What a rule says: its name, how many approvals it asks for, and what each of them has to bring. */
function ruleOf({ rule, need, presence, comment }) {
  const count = need === 1 ? "one approval" : `approvals by ${need} people`;
  const proof = presence in PRESENCE ? `, each with ${PRESENCE[presence]}` : "";
  const who = nameOf(rule);
  return `${who[0].toUpperCase()}${who.slice(1)} asks for ${count}${need === 1 ? proof.replace(", each", "") : proof}${comment ? ", and a comment with each decision" : ""}.`;
}

/** What a rule wants to be shown beside the approver's sign-in, in words; "" for nothing. */
export const proofWanted = ({ approvals }) => PRESENCE[approvals?.presence] ?? "";

/** Whether there is more to say of a request than who decided it. */
export function isRuled({ approvals, decisions = [] }) {
  return (Boolean(approvals?.rule) && !isPlain(approvals)) || decisions.some(({ proof }) => proof in PROOFS);
}

// No rule matches, and the policy's defaults ask for no more than a server without a policy does.
function isPlain(approvals) {
  const { rule, need, presence, comment } = approvals;
  return rule === DEFAULTS && need === 1 && !comment && !(presence in PRESENCE) && !waitingFor(approvals);
}

/** The section of a card that shows it. */
export class Standing {
  constructor(node) {
    this.node = node;
    [this.progress, this.rule, this.people] = ["progress", "rule", "people"].map((name) => node.querySelector(`.${name}`));
    this.times = [];
  }

  /** Show this request, to the approver of this name. */
  show(request, name, ended) {
    this.node.hidden = !isRuled(request);
    if (this.node.hidden) {
      return;
    }
    const { approvals, decisions } = request;
    // One approval by anybody is not worth a line of its own.
    this.progress.hidden = approvals.need === 1 && approvals.have === 0 && !waitingFor(approvals);
    show(this.progress, progressOf(approvals, ended));
    this.rule.hidden = !approvals.rule;
    show(this.rule, ruleOf(approvals));
    this.times = [];
    this.people.replaceChildren(...decisions.map((one) => this.person(one, request, name)));
    this.tick();
  }

  person({ by, at, decision, comment, proof }, request, name) {
    const [line, who, when] = [make("li"), show(make("strong", "by-whom"), by), make("time")];
    this.times.push({ when, at: Date.parse(at) });
    const marks = [same(by, name) && "you", same(by, request.requested_by) && "who requested it"].filter(Boolean);
    const how = PROOFS[proof] ? ` ${PROOFS[proof]}` : "";
    line.append(who, `${marks.length > 0 ? ` (${marks.join(", ")})` : ""} ${WORDS[decision] ?? "decided"}${how} `, when);
    if (comment) {
      line.append(show(make("p", "words"), comment, true));
    }
    return line;
  }

  /** Each second. */
  tick() {
    this.times.forEach(({ when, at }) => showAgo(when, at));
  }
}

/** Why this approver can do nothing with the request; "" if it can. */
export function exclusion({ mine, eligible, approvals, own }) {
  const others = waitingFor(approvals ?? {});
  if (mine && !isEnough(approvals)) {
    return `You have ${WORDS[mine] ?? "decided"} this${others ? `; it waits for ${others}` : ""}.`;
  }
  if (eligible === false) {
    const who = others ? `only ${others} can` : "nobody who can is left";
    return `You cannot decide this: by ${nameOf(approvals.rule)}, ${who}.`;
  }
  return own ? "You requested this yourself, so another approver must decide it." : "";
}
