// The list of pending requests. Cards appear, end and go without moving others under the pointer or taking the focus.

import { requesterOf } from "./facts.js";
import { Card } from "./card.js";
import { headline } from "./command.js";
import { outcomeOf } from "./ended.js";
import { brief } from "./text.js";

// How long an ended card stays: no other one may take its place while a person looks at it.
const LINGER = { mine: 4_000, other: 10_000 };
const STEADY = 1;

/** `inbox` has `decide(card, decision, comment)`, `say(text)`, `arrived(request)` and `connected`. */
export class PendingList {
  constructor(list, empty, inbox) {
    this.list = list;
    this.empty = empty;
    this.inbox = inbox;
    this.cards = new Map();
    this.first = true;
  }

  get connected() {
    return this.inbox.connected;
  }

  get count() {
    return [...this.cards.values()].filter((card) => card.waiting).length;
  }

  say(sentence) {
    this.inbox.say(sentence);
  }

  decide(card, decision, comment) {
    this.inbox.decide(card, decision, comment);
  }

  /** Only one panel asks at a time: another one that is left open would take a stray click for a decision. */
  chosen(card) {
    this.steady(() => this.ordered().forEach((other) => other !== card && other.state === "waiting" && other.unchoose()));
  }

  /** Show these, oldest first. `ended` has the outcome of those that are gone. */
  show(pending, ended) {
    const there = new Set(pending.map((request) => request.id));
    const ends = new Map(ended.map((row) => [row.id, row]));
    this.steady(() => {
      for (const card of this.cards.values()) {
        // A request that this page is deciding now is handled by the answer to that.
        if (card.state === "waiting" && !there.has(card.id)) {
          this.ended(card, ends.get(card.id));
        }
      }
      pending.filter((request) => !this.cards.has(request.id)).forEach((request) => this.add(request));
      this.place();
    });
    this.first = false;
    this.refresh();
  }

  add(request) {
    const card = new Card(request, this);
    this.cards.set(card.id, card);
    card.arm();
    if (!this.first) {
      this.inbox.arrived(request);
      this.say(`New request from ${requesterOf(request)}: ${brief(headline(request.action))}`);
    }
  }

  // Oldest first. A card that is in its place is not touched, or it would lose the focus.
  place() {
    const cards = this.ordered();
    cards.forEach((card, at) => {
      if (this.list.children[at] !== card.place) {
        this.list.insertBefore(card.place, this.list.children[at] ?? null);
      }
    });
  }

  ordered() {
    return [...this.cards.values()].sort((one, other) => one.asked - other.asked || (one.id < other.id ? -1 : 1));
  }

  /** Show that the request of this card has ended, as in `row`; without a row the outcome is unknown. */
  ended(card, row) {
    const how = row ? outcomeOf(row) : { tone: "withdrawn", word: "Ended", sentence: "(outcome unknown)" };
    card.linger = card.mine ? LINGER.mine : card.late ? Infinity : LINGER.other;
    const sentence = `${card.late ? "Too late. " : ""}${how.word} ${card.mine ? "by you" : how.sentence}`;
    card.endedAt = performance.now();
    card.end(how.tone, sentence, row?.comment);
    this.say(`${sentence}: ${brief(headline(card.request.action))}`);
  }

  /** Make a change, and disable the buttons that it moved for a moment. */
  steady(change) {
    const cards = [...this.cards.values()].filter((card) => card.place.isConnected);
    const targets = cards.map((card) => card.target);
    const before = targets.map((target) => target.getBoundingClientRect());
    change();
    cards.forEach((card, at) => {
      const { top, left } = targets[at].getBoundingClientRect();
      if (card.waiting && (Math.abs(top - before[at].top) > STEADY || Math.abs(left - before[at].left) > STEADY)) {
        card.arm();
      }
    });
  }

  /** Disable all buttons for a moment: the window came to the front, or changed its size. */
  arm() {
    this.cards.forEach((card) => card.waiting && card.arm());
  }

  refresh() {
    this.cards.forEach((card) => card.refresh());
    this.empty.hidden = this.cards.size > 0;
  }

  /** Each second. */
  tick() {
    const now = performance.now();
    // A changed duration may wrap differently, and move what is below it.
    this.steady(() => this.cards.forEach((card) => card.tick()));
    for (const card of this.cards.values()) {
      const over = !card.waiting && now - card.endedAt > card.linger;
      // A card with the focus stays until it is dismissed.
      const focused = card.place.contains(document.activeElement) && !card.mine;
      if (over && !focused && !card.place.matches(":hover")) {
        this.dismiss(card);
      }
    }
  }

  /** Remove an ended card; the focus moves to the next one. */
  dismiss(card) {
    const inside = card.place.contains(document.activeElement);
    const cards = this.ordered();
    const at = cards.indexOf(card);
    this.cards.delete(card.id);
    this.steady(() => card.place.remove());
    this.refresh();
    if (inside) {
      this.focus(cards[at + 1] ?? cards[at - 1]);
    }
  }

  /** Focus a card; without one, the list's heading. */
  focus(card) {
    const target = card?.node ?? document.getElementById("waiting-heading");
    target.focus();
    target.scrollIntoView?.({ block: "nearest" });
  }

  clear() {
    this.cards.clear();
    this.list.replaceChildren();
    this.first = true;
  }
}

