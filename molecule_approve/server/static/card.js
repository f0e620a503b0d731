// The card of one request, and how a person decides it. Nothing is decided by accident:
//  * a click, a tap or a key only chooses; then a panel asks, and a second step confirms;
//  * the button that confirms is on the other side: repeated clicks at the same place go back and forth;
//  * a click counts only if the button was pressed and released while it was armed, and only the first of a double click;
//  * buttons are armed a moment after they appeared or moved, so that no click meant for something else hits them.
// The owner of the card sends the decision.

import { Content, part } from "./content.js";
import { badge, outcomeOf } from "./outcome.js";
import { addressOf } from "./route.js";
import { Standing, exclusion, nameOf, proofWanted, same } from "./standing.js";
import { make, show } from "./text.js";
import { absolute, clockwork, now, showAgo } from "./times.js";

/** Milliseconds from the moment a request appears or moves to the moment its buttons work. */
export const ARMING = 1000;
const SOON = 60_000;

const WORDS = {
  approved: { verb: "Approve", doing: "Approving…", key: "A" },
  denied: { verb: "Deny", doing: "Denying…", key: "D" },
};
const ALONE = "You requested this yourself. As the only approver you may decide it; that is recorded.";
const ALLOWED = "You requested this yourself. You may decide it; that is recorded.";

/**
 * `owner` has `decide(card, decision, comment, isSigned)`, `retract(card)`, `next()`, `say(text)`, `steady(change)`, `connected`,
 * `passkeys` and `name`.
 */
export class Card {
  constructor(request, owner) {
    this.request = request;
    this.owner = owner;
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
    return typeof this.request.requested_by === "string" && same(this.request.requested_by, this.owner.name);
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
    [this.retraction, this.retractButton] = part(this.node, "retraction", "retract");
    [this.sign, this.signIt, this.signThere] = part(this.node, "sign", "sign-it", "sign-there");
    this.standing = new Standing(this.node.querySelector(".standing"));
    this.content = new Content(this.node, this.request, (change) => this.opened(change));
    this.name();
    [this.askedAt] = part(this.node, "asked");
    this.left.hidden = Number.isNaN(this.ends);
    this.left.title = this.left.hidden ? "" : `until ${absolute(this.ends)}`;
    this.settle();
  }

  opened(change) {
    this.owner.steady(() => {
      change();
      this.refresh();
    });
  }

  /** The request was read again: others may have decided meanwhile. */
  update(request) {
    this.request = request;
    this.settle();
    this.refresh();
  }

  /** Show how far the request is, and what this person can do with it. */
  settle() {
    this.shownTo = this.owner.name;
    this.standing.show(this.request, this.shownTo, this.state === "ended");
    this.excluded = exclusion(this.request);
    if (this.excluded) {
      this.unchoose();
    }
    this.choices.hidden = this.excluded !== "" || this.choice !== null;
    this.field.hidden = this.excluded !== "";
    this.retraction.hidden = !this.request.mine;
    this.comment.placeholder = this.request.approvals?.comment ? "Required; the requester sees it" : "Optional; the requester sees it";
  }

  // For screen readers: ids connect labels with their elements.
  name() {
    const id = `r-${this.id}`;
    const [asks, action, label] = part(this.node, "who-line", "action", "comment-label");
    this.node.dataset.id = this.id;
    asks.id = `${id}-asks`;
    action.id = `${id}-action`;
    // A long action would be read aloud in full at each step from request to request.
    this.node.setAttribute("aria-labelledby", this.content.isLong ? asks.id : `${asks.id} ${action.id}`);
    this.hint.id = `${id}-hint`;
    this.question.id = `${id}-question`;
    this.comment.id = `${id}-comment`;
    label.htmlFor = this.comment.id;
    this.confirm.setAttribute("aria-labelledby", this.question.id);
    for (const button of Object.values(this.buttons)) {
      button.setAttribute("aria-describedby", this.hint.id);
    }
  }

  listen() {
    for (const [decision, button] of Object.entries(this.buttons)) {
      this.press(button, () => this.choose(decision));
    }
    this.press(this.yes, () => this.decide(this.choice));
    this.press(this.retractButton, () => this.retract());
    this.comment.addEventListener("input", () => this.refresh());
    this.signIt.addEventListener("change", () => this.confirm.focus({ preventScroll: true }));
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
    const approving = decision === "approved" && (this.content.unseen() || this.unsigned());
    return this.excluded || approving || this.uncommented() || (this.armed ? null : "");
  }

  /** What the rule asks for and is not there yet; "" if nothing. */
  uncommented() {
    const { comment, rule } = this.request.approvals ?? {};
    return comment && !this.comment.value.trim() ? `Write a comment first: ${nameOf(rule)} asks for one.` : "";
  }

  /** Whether this decision is by the rule signed with a passkey here. */
  mustSign(decision) {
    return decision === "approved" && proofWanted(this.request) !== "";
  }

  /** Why the proof that the rule wants cannot be given in this page; "" if it can, or is not wanted. */
  unsigned() {
    const { obstacle } = this.owner.passkeys;
    const wanted = proofWanted(this.request);
    return wanted && obstacle ? `To approve, ${nameOf(this.request.approvals.rule)} asks for ${wanted}: ${obstacle}.` : "";
  }

  // Where the rule wants a passkey, and this page's address cannot have any: the way to the one that can.
  offerAddress() {
    const page = this.waiting && !this.excluded && proofWanted(this.request) ? this.owner.passkeys.elsewhere : null;
    this.signThere.hidden = page === null;
    if (page !== null) {
      const link = make("a", "", `Open this request at ${new URL(page).origin}; you sign in there again`);
      link.href = `${page}/${addressOf(this.id).slice(document.baseURI.length)}`;
      this.signThere.replaceChildren(link);
    }
  }

  get retractable() {
    return this.owner.connected && this.armed && this.state === "waiting";
  }

  /** Update the buttons and the hint. */
  refresh() {
    if (this.shownTo !== this.owner.name) {
      this.settle();
    }
    for (const [decision, button] of Object.entries(this.buttons)) {
      button.setAttribute("aria-disabled", String(this.obstacle(decision) !== null));
    }
    this.yes.setAttribute("aria-disabled", String(this.choice === null || this.obstacle(this.choice) !== null));
    this.retractButton.setAttribute("aria-disabled", String(!this.retractable));
    this.node.dataset.armed = String(this.armed);
    this.node.dataset.state = this.state;
    this.offerAddress();
    const hint = this.fault || this.obstacle("approved") || (this.isOwn ? (this.request.approvals?.rule ? ALLOWED : ALONE) : "");
    if (this.hint.textContent !== hint) {
      show(this.hint, hint);
    }
  }

  // The sentence stands at the buttons already: it is told to screen readers, and shown to a person who pressed a key.
  refuse(obstacle) {
    this.owner.say(obstacle || "Wait a moment, then try again.");
    this.hint.classList.remove("told");
    requestAnimationFrame(() => this.hint.classList.add("told"));
    this.content.point();
  }

  /** What a person would click on: the buttons to choose, or the panel that asks. */
  get target() {
    if (!this.retraction.hidden) {
      return this.retraction;
    }
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
    const must = this.mustSign(decision);
    this.yes.textContent = `Yes, ${verb.toLowerCase()}${must ? " with passkey" : ""}`;
    this.sign.hidden = must || this.owner.passkeys.obstacle !== "";
    this.signIt.checked = must;
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
    const isSigned = this.signIt.checked;
    this.state = isSigned ? "signing" : "deciding";
    this.fault = isSigned ? "Waiting for your passkey…" : WORDS[decision].doing;
    this.refresh();
    this.owner.decide(this, decision, this.comment.value.trim() ? this.comment.value : "", isSigned);
  }

  /** The passkey has signed; whether the decision can be sent, as the request has not ended meanwhile. */
  signed() {
    if (this.state !== "signing") {
      return false;
    }
    this.state = "deciding";
    this.fault = WORDS[this.choice].doing;
    this.refresh();
    return true;
  }

  /** Retract the approval, if that is possible now. */
  retract() {
    if (this.retractable) {
      this.state = "deciding";
      this.fault = "Retracting…";
      this.refresh();
      this.owner.retract(this);
    }
  }

  /** The request goes on waiting: `mine` is this person's decision now, or null, and so many approvals count. */
  counted(mine, approvals) {
    this.state = "waiting";
    this.fault = "";
    this.unchoose();
    this.update({ ...this.request, mine, approvals: { ...this.request.approvals, ...approvals } });
    this.arm();
  }

  /** The decision failed; it can be tried again. */
  failed(sentence) {
    if (["signing", "deciding"].includes(this.state)) {
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
    this.standing.show(this.request, this.owner.name, true);
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
    this.standing.tick();
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

  /** Show the next long text in full, or the details. */
  open() {
    this.content.open();
  }
}
