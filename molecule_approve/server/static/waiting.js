// The list of what waits: cards come, end and go, without moving anything under a hand or taking the focus from anybody.

import { asker } from "./facts.js";
import { Card } from "./card.js";
import { ending } from "./decided.js";
import { brief } from "./text.js";

// How long a card stays that has ended: its place must not be taken by another one while somebody looks at it.
const LINGER = { mine: 4_000, other: 10_000 };
const STEADY = 1;

/** `desk` has `decide(card, decision, comment)`, `say(text)`, `arrived(request)` and `connected`. */
export class Waiting {
  constructor(list, empty, desk) {
    this.list = list;
    this.empty = empty;
    this.desk = desk;
    this.cards = new Map();
    this.first = true;
  }

  get connected() {
    return this.desk.connected;
  }

  get count() {
    return [...this.cards.values()].filter((card) => card.waiting).length;
  }

  say(sentence) {
    this.desk.say(sentence);
  }

  decide(card, decision, comment) {
    this.desk.decide(card, decision, comment);
  }

  /** One question at a time: a panel that was left open elsewhere would take one stray click for a decision. */
  chosen(card) {
    this.steady(() => this.ordered().forEach((other) => other !== card && other.state === "waiting" && other.unchoose()));
  }

  /** Show these, oldest first. `decided` says what became of those that are gone. */
  show(pending, decided) {
    const there = new Set(pending.map((request) => request.id));
    const ends = new Map(decided.map((row) => [row.id, row]));
    this.steady(() => {
      for (const card of this.cards.values()) {
        // What this page is deciding just now is told by the answer to that, which also knows whether it came too late.
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
      this.desk.arrived(request);
      this.say(`New request: ${asker(request)} asks: ${brief(request.action)}`);
    }
  }

  // Older ones stand before younger ones; a card that stands right is not touched, or it would lose the focus.
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

  /** A card whose request has ended, as `row` says; a row that nobody knows any more only ended. */
  ended(card, row) {
    const how = row ? ending(row) : { tone: "withdrawn", word: "Ended", sentence: "how is not known here" };
    card.linger = card.mine ? LINGER.mine : card.late ? Infinity : LINGER.other;
    const sentence = `${card.late ? "Too late. " : ""}${how.word} ${card.mine ? "by you" : how.sentence}`;
    card.endedAt = performance.now();
    card.end(how.tone, sentence, row?.comment);
    this.say(`${sentence}: ${brief(card.request.action)}`);
  }

  /** Make a change, and let go of the buttons that it moved. */
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

  /** Let all buttons rest: the window came to the front, or changed its size. */
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
    // A span that grows shorter or longer in words may wrap otherwise, and move what stands below it.
    this.steady(() => this.cards.forEach((card) => card.tick()));
    for (const card of this.cards.values()) {
      const over = !card.waiting && now - card.endedAt > card.linger;
      // Whoever reads or writes in it dismisses it, or leaves.
      const held = card.place.contains(document.activeElement) && !card.mine;
      if (over && !held && !card.place.matches(":hover")) {
        this.dismiss(card);
      }
    }
  }

  /** Take an ended card away; the focus goes on to the next one. */
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

  /** Give a card the focus; without one, the list's heading. */
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

