// The card of one request, and how a person decides it. Nothing is decided by accident:
//  * a click, a tap or a key only chooses; then a panel asks, and a second step confirms;
//  * the button that confirms is on the other side: repeated clicks at the same place go back and forth;
//  * a click counts only if the button was pressed and released while it was armed, and only the first of a double click;
//  * buttons are armed a moment after they appeared or moved, so that no click meant for something else hits them.
// The owner of the card sends the decision.

import { parse } from "./command.js";
import { boundFacts, detailsOf, factsOf } from "./facts.js";
import { Details, Fold } from "./fold.js";
import { badge, outcomeOf } from "./outcome.js";
import { claimOf, requesterOf } from "./row.js";
import { isLong, looksLikeCommand, show } from "./text.js";
import { absolute, clockwork, now, showAgo } from "./times.js";

/** Milliseconds from the moment a request appears or moves to the moment its buttons work. */
export const ARMING = 1000;
const SOON = 60_000;

const WORDS = {
  approved: { verb: "Approve", doing: "Approving…", key: "A" },
  denied: { verb: "Deny", doing: "Denying…", key: "D" },
};
const OWN = "You requested this yourself, so another approver must decide it.";
const ALONE = "You requested this yourself. As the only approver you may decide it; that is recorded.";
const ONLY_THERE = "Before you approve, open Details: some of what the requester sent is only there.";

function* part(node, ...classes) {
  for (const name of classes) {
    yield node.querySelector(`.${name}`);
  }
}

/** `owner` has `decide(card, decision, comment)`, `next()`, `say(text)`, `steady(change)`, `connected` and `name`. */
export class Card {
  constructor(request, owner) {
    this.request = request;
    this.owner = owner;
    this.command = parse(request.action);
    this.folds = [];
    this.opened = (change) =>
      owner.steady(() => {
        change();
        this.refresh();
      });
    this.state = "waiting";
    this.choice = null;
    this.armed = false;
    this.pressed = null;
    this.asked = Date.parse(request.created_at);
    this.ends = Date.parse(request.expires_at ?? "");
    this.build();
    this.listen();
    this.tick();
  }

  get id() {
    return this.request.id;
  }

  get waiting() {
    return this.state !== "ended";
  }

  get isOwn() {
    const [requester, name] = [this.request.requested_by, this.owner.name].map((text) => text?.normalize().toLowerCase());
    return requester !== undefined && requester === name;
  }

  build() {
    this.node = document.getElementById("card").content.firstElementChild.cloneNode(true);
    [this.clock, this.ring, this.left, this.hint, this.result, this.decision] = part(
      this.node, "clock", "ring-left", "left", "hint", "result", "decision",
    );
    [this.choices, this.confirm, this.question, this.comment, this.field, this.badge] = part(
      this.node, "choices", "confirm", "question", "comment", "comment-field", "badge",
    );
    const [approve, deny, yes, back] = part(this.node, "approve", "deny", "yes", "back");
    Object.assign(this, { buttons: { approved: approve, denied: deny }, yes, back });
    this.name();
    this.fill();
    if (this.request.own) {
      this.choices.hidden = this.field.hidden = true;
    }
  }

  // For screen readers: ids connect labels with their elements.
  name() {
    const id = `r-${this.id}`;
    const [asks, action, label] = part(this.node, "who-line", "action", "comment-label");
    this.node.dataset.id = this.id;
    asks.id = `${id}-asks`;
    action.id = `${id}-action`;
    // A long action would be read aloud in full at each step from request to request.
    const text = this.command?.line ?? this.request.action;
    this.node.setAttribute("aria-labelledby", isLong(text) ? asks.id : `${asks.id} ${action.id}`);
    this.hint.id = `${id}-hint`;
    this.question.id = `${id}-question`;
    this.comment.id = `${id}-comment`;
    label.htmlFor = this.comment.id;
    this.confirm.setAttribute("aria-labelledby", this.question.id);
    for (const button of Object.values(this.buttons)) {
      button.setAttribute("aria-describedby", this.hint.id);
    }
  }

  fill() {
    const [who, claims, heading, why, asked] = part(this.node, "who", "claims", "action", "reason", "asked");
    show(who, requesterOf(this.request));
    this.claim(claims);
    heading.append(this.act().node);
    why.hidden = !this.request.reason;
    if (this.request.reason) {
      why.append(this.fold(this.request.reason, "prose").node);
    }
    this.tell();
    this.askedAt = asked;
    this.left.hidden = Number.isNaN(this.ends);
    this.left.title = this.left.hidden ? "" : `until ${absolute(this.ends)}`;
  }

  fold(text, className, isCommand = false) {
    const fold = new Fold(text, className, this.opened, isCommand);
    this.folds.push(fold);
    return fold;
  }

  act() {
    const text = this.command?.line ?? this.request.action;
    const isCommand = this.command !== null || looksLikeCommand(text);
    return this.fold(text, isCommand ? "code" : "prose", isCommand);
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

  listen() {
    for (const [decision, button] of Object.entries(this.buttons)) {
      this.press(button, () => this.choose(decision));
    }
    this.press(this.yes, () => this.decide(this.choice));
    // It is where the button that chose was: the second click of a double click is not meant for it.
    this.back.addEventListener("click", (event) => event.detail < 2 && this.unchoose());
    const [next] = part(this.node, "next");
    next.addEventListener("click", () => this.owner.next());
  }

  /** Call `act` for a press and release on the armed button, and for Enter, space and screen readers. */
  press(button, act) {
    button.addEventListener("pointerdown", (event) => {
      this.pressed = this.armed && event.isPrimary && event.button === 0 ? button : null;
    });
    button.addEventListener("click", (event) => {
      const pressed = this.pressed === button;
      this.pressed = null;
      if (event.detail === 0 || (pressed && this.armed && event.detail === 1)) {
        act();
      }
    });
  }

  /** Disable the buttons for a moment, because the card appeared or moved. */
  arm() {
    this.armed = false;
    this.pressed = null;
    clearTimeout(this.arming);
    this.arming = setTimeout(() => {
      this.armed = true;
      this.refresh();
    }, ARMING);
    this.refresh();
  }

  /** Why this decision is not possible now: a sentence, "" if it will be possible in a moment, null if it is possible. */
  obstacle(decision) {
    if (!this.owner.connected) {
      return "No connection: this page may be out of date.";
    }
    if (this.state !== "waiting") {
      return "";
    }
    if (this.request.own) {
      return OWN;
    }
    return (decision === "approved" && this.unseen()) || (this.armed ? null : "");
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

  /** Update the buttons and the hint. */
  refresh() {
    for (const [decision, button] of Object.entries(this.buttons)) {
      button.setAttribute("aria-disabled", String(this.obstacle(decision) !== null));
    }
    this.yes.setAttribute("aria-disabled", String(this.choice === null || this.obstacle(this.choice) !== null));
    this.node.dataset.armed = String(this.armed);
    this.node.dataset.state = this.state;
    const hint = this.fault || this.obstacle("approved") || (this.isOwn ? ALONE : "");
    if (this.hint.textContent !== hint) {
      show(this.hint, hint);
    }
  }

  // The sentence stands at the buttons already: it is told to screen readers, and shown to a person who pressed a key.
  refuse(obstacle) {
    this.owner.say(obstacle || "Wait a moment, then try again.");
    this.hint.classList.remove("told");
    requestAnimationFrame(() => this.hint.classList.add("told"));
    this.folds.find((fold) => !fold.seen)?.button.scrollIntoView({ block: "nearest" });
  }

  /** What a person would click on: the buttons to choose, or the panel that asks. */
  get target() {
    return this.choice === null ? this.choices : this.confirm;
  }

  /** Choose; a second step confirms. */
  choose(decision) {
    const obstacle = this.obstacle(decision);
    if (obstacle !== null) {
      this.refuse(obstacle);
      return;
    }
    const { verb, key } = WORDS[decision];
    this.choice = decision;
    this.question.textContent = `${verb} this request?`;
    const [hint] = part(this.confirm, "keys");
    hint.textContent = `Shift + ${key} confirms, Escape goes back.`;
    this.yes.textContent = `Yes, ${verb.toLowerCase()}`;
    this.yes.className = `yes ${decision}`;
    this.confirm.hidden = false;
    this.choices.hidden = true;
    this.confirm.focus({ preventScroll: true });
    // The button that confirms is where another one was.
    this.arm();
  }

  /** Cancel the choice, if there is one. */
  unchoose() {
    if (this.choice !== null) {
      const inside = this.confirm.contains(document.activeElement);
      this.choice = null;
      this.confirm.hidden = true;
      this.choices.hidden = false;
      this.arm();
      if (inside) {
        this.node.focus();
      }
    }
  }

  /** Decide, if that is possible now. */
  decide(decision) {
    const obstacle = decision === null ? "" : this.obstacle(decision);
    if (obstacle !== null) {
      this.refuse(obstacle);
      return;
    }
    this.state = "deciding";
    this.fault = WORDS[decision].doing;
    this.refresh();
    this.owner.decide(this, decision, this.comment.value.trim() ? this.comment.value : "");
  }

  /** The decision failed; it can be tried again. */
  failed(sentence) {
    if (this.state === "deciding") {
      this.state = "waiting";
      this.fault = sentence;
      this.unchoose();
      this.arm();
    }
  }

  /** Show that the request has ended as in `row`; `by` stands for who decided it. */
  end(row, by = null) {
    if (this.state === "ended") {
      return;
    }
    const { tone, word, sentence } = outcomeOf(row);
    const inside = this.node.contains(document.activeElement);
    this.state = "ended";
    this.tone = tone;
    this.sentence = `${this.late ? "Too late. " : ""}${word} ${by ?? sentence}`;
    this.node.classList.add("ended", tone);
    const [said, remark, next, when] = part(this.node, "said", "remark", "next", "ended-at");
    show(said, this.sentence);
    this.endedAt = { when, at: Date.parse(row?.decided_at ?? "") };
    remark.hidden = !row?.comment;
    show(remark, row?.comment ?? "", true);
    this.badge.replaceChildren(badge(tone));
    this.decision.hidden = this.left.hidden = true;
    this.result.hidden = this.badge.hidden = false;
    this.tick();
    this.refresh();
    if (inside) {
      next.focus({ preventScroll: true });
    }
  }

  /** Milliseconds left; Infinity without an expiry. */
  remaining() {
    return Number.isNaN(this.ends) ? Infinity : this.ends - now();
  }

  /** Each second: update the time since the request, and the time left. */
  tick() {
    showAgo(this.askedAt, this.asked);
    if (this.endedAt?.at) {
      showAgo(this.endedAt.when, this.endedAt.at);
    }
    if (this.left.hidden) {
      return;
    }
    const remaining = this.remaining();
    this.clock.textContent = remaining > 0 ? `${clockwork(remaining)} left` : "time is up";
    this.left.classList.toggle("soon", remaining < SOON);
    const share = Math.min(1, Math.max(0, remaining / (this.ends - this.asked)));
    this.ring.setAttribute("stroke-dashoffset", String(100 - 100 * share));
  }

  /** Show the next long text in full, or the details, and scroll to it. */
  open() {
    const fold = this.folds.find((one) => !one.seen) ?? this.details;
    fold.open();
    fold.button.scrollIntoView({ block: "nearest" });
  }
}
