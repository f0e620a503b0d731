// What the requester sent, put into a card: who asks, the action, the reason, the facts, the details. What is long is folded,
// and has to be seen before the request can be approved.

import { parse } from "./command.js";
import { boundFacts, detailsOf, factsOf } from "./facts.js";
import { Details, Fold } from "./fold.js";
import { claimOf, whoOf } from "./row.js";
import { isLong, looksLikeCommand, show } from "./text.js";

const ONLY_THERE = "Before you approve, open Details: some of what the requester sent is only there.";

/** The elements with these classes, in this order. */
export function* part(node, ...classes) {
  for (const name of classes) {
    yield node.querySelector(`.${name}`);
  }
}

/** `opened(change)` is called to show a text in full. */
export class Content {
  constructor(node, request, opened) {
    Object.assign(this, { node, request, opened, command: parse(request.action), folds: [] });
    this.fill();
    this.tell();
  }

  /** The action, of a command its line alone. */
  get text() {
    return this.command?.line ?? this.request.action;
  }

  get isLong() {
    return isLong(this.text);
  }

  fill() {
    const [who, claims, heading, why] = part(this.node, "who", "claims", "action", "reason");
    show(who, whoOf(this.request));
    this.claim(claims);
    heading.append(this.act().node);
    why.hidden = !this.request.reason;
    if (this.request.reason) {
      why.append(this.fold(this.request.reason, "prose").node);
    }
  }

  fold(text, className, isCommand = false) {
    const fold = new Fold(text, className, this.opened, isCommand);
    this.folds.push(fold);
    return fold;
  }

  act() {
    const isCommand = this.command !== null || looksLikeCommand(this.text);
    return this.fold(this.text, isCommand ? "code" : "prose", isCommand);
  }

  // What the client says of itself is a claim, beside the name of its credential.
  claim(claims) {
    const claimed = claimOf(this.request);
    claims.hidden = claimed === "";
    if (claimed !== "") {
      claims.append(this.fold(claimed, "claimed").node);
    }
  }

  // Everything else: what is bound with a command, the facts, and the details.
  tell() {
    const [kind, bound, details, more] = part(this.node, "kind", "bound", "details", "more");
    const stated = this.command?.facts ?? [];
    if (stated.length > 0) {
      const found = boundFacts(stated, this.opened);
      bound.append(found.node);
      this.folds.push(...found.folds);
      kind.hidden = bound.hidden = false;
    }
    const facts = factsOf(this.request, stated, this.opened);
    details.append(facts.node);
    const { node, must } = detailsOf(this.request, stated, this.opened);
    more.append(node);
    this.details = new Details(more, must, this.opened);
    this.folds.push(...facts.folds, this.details);
  }

  /** What has to be shown before this can be approved; "" if nothing. */
  unseen() {
    const folded = this.folds.filter((fold) => !fold.seen);
    if (folded.length === 0) {
      return "";
    }
    if (folded[0] === this.details) {
      return ONLY_THERE;
    }
    const count = folded.filter((fold) => fold !== this.details).length;
    return `Before you approve, show ${count === 1 ? "the long text" : `the ${count} long texts`} above in full.`;
  }

  /** Scroll to what has to be shown. */
  point() {
    this.folds.find((fold) => !fold.seen)?.button.scrollIntoView({ block: "nearest" });
  }

  /** Show the next long text in full, or the details, and scroll to it. */
  open() {
    const fold = this.folds.find((one) => !one.seen) ?? this.details;
    fold.open();
    fold.button.scrollIntoView({ block: "nearest" });
  }
}
