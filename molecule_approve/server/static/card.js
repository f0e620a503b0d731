// The card of one pending request, and how a person decides it. Nothing is decided by accident:
//  * a click, a tap or a key only chooses; then a panel asks, and a second step confirms;
//  * the button that confirms is on the other side: repeated clicks at the same place go back and forth;
//  * a click counts only if the button was pressed and released while it was armed, and only the first of a double click;
//  * buttons are armed a moment after they appeared or moved, so that no click meant for something else hits them.
// The owner of the card sends the decision.

import { headline, parse } from "./command.js";
import { Fold, boundFacts, requesterOf, factsOf } from "./facts.js";
import { isLong, looksLikeCommand, show } from "./text.js";
import { absolute, clockwork, now, showAgo } from "./times.js";

/** Milliseconds from the moment a request appears or moves to the moment its buttons work. */
export const ARMING = 1000;
const SOON = 60_000;

const WORDS = {
  approved: { verb: "Approve", doing: "Approving…", key: "A" },
  denied: { verb: "Deny", doing: "Denying…", key: "D" },
};

function* part(node, ...classes) {
  for (const name of classes) {
    yield node.querySelector(`.${name}`);
  }
}

/** `owner` has `decide(card, decision, comment)`, `chosen(card)`, `say(text)`, `steady(change)` and `connected`. */
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

  build() {
    this.place = document.getElementById("card").content.firstElementChild.cloneNode(true);
    [this.node, this.clock, this.ring, this.left, this.hint, this.result] = part(
      this.place, "card", "clock", "ring-left", "left", "hint", "result",
    );
    [this.choices, this.confirm, this.question, this.comment] = part(
      this.place, "choices", "confirm", "question", "comment",
    );
    const [approve, deny, yes, back] = part(this.place, "approve", "deny", "yes", "back");
    Object.assign(this, { buttons: { approved: approve, denied: deny }, yes, back });
    this.name();
    this.fill();
  }

  // For screen readers: ids connect labels with their elements.
  name() {
    const id = `r-${this.id}`;
    const [asks, action, label] = part(this.place, "asks", "action", "comment-label");
    this.node.dataset.id = this.id;
    asks.id = `${id}-asks`;
    action.id = `${id}-action`;
    // A long action would be read aloud in full at each step from card to card.
    this.node.setAttribute("aria-labelledby", isLong(headline(this.request.action)) ? asks.id : `${asks.id} ${action.id}`);
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
    const { action, reason } = this.request;
    const [who, heading, why, details, asked] = part(this.place, "who", "action", "reason", "details", "asked");
    const opened = () => this.owner.steady(() => this.refresh());
    const facts = factsOf(this.request, opened);
    const command = parse(action);
    const shown = new Fold(headline(action), command || looksLikeCommand(action) ? "code" : "prose", opened);
    this.folds = [shown, ...(command ? this.bind(command, opened) : []), ...facts.folds];
    show(who, requesterOf(this.request));
    heading.append(shown.node);
    why.hidden = !reason;
    if (reason) {
      const fold = new Fold(reason, "prose", opened);
      this.folds.push(fold);
      why.append(fold.node);
    }
    details.append(facts.node);
    this.askedAt = asked;
    this.left.hidden = Number.isNaN(this.ends);
    this.left.title = this.left.hidden ? "" : `until ${absolute(this.ends)}`;
  }

  /** Show what is bound with a command; the folds in it. */
  bind(command, opened) {
    const [kind, bound] = part(this.place, "kind", "bound");
    const { node, folds } = boundFacts(command.facts, opened);
    bound.append(node);
    kind.hidden = bound.hidden = false;
    return folds;
  }

  listen() {
    for (const [decision, button] of Object.entries(this.buttons)) {
      this.press(button, () => this.choose(decision));
    }
    this.press(this.yes, () => this.decide(this.choice));
    this.back.addEventListener("click", () => this.unchoose());
    const [dismiss] = part(this.place, "dismiss");
    dismiss.addEventListener("click", () => this.owner.dismiss(this));
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
    const folded = this.folds.filter((fold) => !fold.seen).length;
    if (!this.owner.connected) {
      return "No connection: this page may be out of date.";
    }
    if (this.state !== "waiting") {
      return "";
    }
    if (decision === "approved" && folded > 0) {
      return `Before you approve, show ${folded === 1 ? "the long text" : `the ${folded} long texts`} above in full.`;
    }
    return this.armed ? null : "";
  }

  /** Update the buttons and the hint. */
  refresh() {
    for (const [decision, button] of Object.entries(this.buttons)) {
      button.setAttribute("aria-disabled", String(this.obstacle(decision) !== null));
    }
    this.yes.setAttribute("aria-disabled", String(this.choice === null || this.obstacle(this.choice) !== null));
    this.node.dataset.armed = String(this.armed);
    this.node.dataset.state = this.state;
    const hint = this.fault || this.obstacle("approved") || "";
    if (this.hint.textContent !== hint) {
      show(this.hint, hint);
    }
  }

  /** What a person would click on: the buttons to choose, or the panel that asks. */
  get target() {
    return this.choice === null ? this.choices : this.confirm;
  }

  /** Choose; a second step confirms. */
  choose(decision) {
    const obstacle = this.obstacle(decision);
    if (obstacle !== null) {
      this.owner.say(obstacle || "Wait a moment, then try again.");
      return;
    }
    this.owner.chosen(this);
    const { verb, key } = WORDS[decision];
    this.choice = decision;
    this.question.textContent = `${verb} this request?`;
    const [hint] = part(this.confirm, "keys");
    hint.textContent = `Shift + ${key} confirms, Escape goes back.`;
    this.yes.textContent = `Yes, ${verb.toLowerCase()}`;
    this.yes.className = `yes ${decision}`;
    this.confirm.hidden = false;
    this.choices.hidden = true;
    this.confirm.focus({ preventScroll: false });
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
      this.owner.say(obstacle || "Wait a moment, then try again.");
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

  /** Show that the request has ended; `tone` is the outcome, for colours and icons. */
  end(tone, sentence, comment) {
    if (this.state === "ended") {
      return;
    }
    const inside = this.node.contains(document.activeElement);
    this.state = "ended";
    this.node.classList.add("ended", tone);
    const [said, remark, decision] = part(this.place, "said", "remark", "decision");
    show(said, sentence);
    remark.hidden = !comment;
    show(remark, comment ?? "", true);
    decision.hidden = true;
    this.result.hidden = false;
    this.left.hidden = true;
    this.refresh();
    if (inside) {
      this.node.focus({ preventScroll: true });
    }
  }

  /** Milliseconds left; Infinity without an expiry. */
  remaining() {
    return Number.isNaN(this.ends) ? Infinity : this.ends - now();
  }

  /** Each second: update the time since the request, and the time left. */
  tick() {
    showAgo(this.askedAt, this.asked);
    if (this.left.hidden) {
      return;
    }
    const remaining = this.remaining();
    this.clock.textContent = remaining > 0 ? `${clockwork(remaining)} left` : "time is up";
    this.left.classList.toggle("soon", remaining < SOON);
    const share = Math.min(1, Math.max(0, remaining / (this.ends - this.asked)));
    this.ring.setAttribute("stroke-dashoffset", String(100 - 100 * share));
  }

  /** Show the next long text in full, and scroll to it. */
  open() {
    const fold = this.folds.find((one) => !one.seen) ?? this.folds.find((one) => one.button);
    fold?.button.click();
    fold?.button.scrollIntoView({ block: "nearest" });
  }
}
