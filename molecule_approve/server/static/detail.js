// The request beside the list: it is read in full when it is chosen, and shown as a card. What was typed or unfolded for
// a request stays while the request is pending, also when another one is shown meanwhile.

import { Card } from "./card.js";
import { headline } from "./command.js";
import { one } from "./requests.js";
import { isRuled } from "./standing.js";
import { brief } from "./text.js";

const STEADY = 1;
// A note is shown only if the answer takes longer.
const SOON = 300;

const MISSING = "There is no request with this address, or it is in a workspace that you cannot see.";

/** `inbox` has `decide(card, decision, comment, isSigned)`, `retract(card)`, `say(text)`, `next()`, `ended(card)`, `failed(failure)`, `live`, `name`, `passkeys`, `pending` and `connected`. */
export class Detail {
  constructor(pane, inbox) {
    this.pane = pane;
    this.note = pane.querySelector("#note");
    this.inbox = inbox;
    this.cards = new Map();
    this.id = null;
    this.card = null;
    this.drafts = { name: null, texts: new Map() };
  }

  get connected() {
    return this.inbox.connected;
  }

  get passkeys() {
    return this.inbox.passkeys;
  }

  get name() {
    return this.inbox.name;
  }

  say(sentence) {
    this.inbox.say(sentence);
  }

  next() {
    this.inbox.next();
  }

  decide(card, decision, comment, isSigned) {
    this.inbox.decide(card, decision, comment, isSigned);
  }

  retract(card) {
    this.inbox.retract(card);
  }

  /** Show the request with this id; null shows none. */
  async show(id, focused = false) {
    if (this.id !== id) {
      this.card?.unchoose();
      this.id = id;
      this.put(this.cards.get(id) ?? null);
    }
    if (id !== null && (this.card === null || isRuled(this.card.request))) {
      await this.read(focused);
    }
    if (focused && this.id === id) {
      this.focus();
    }
  }

  /** Read the request that is shown: what is new about it, if it is there already. */
  async read(focused = false) {
    const { id } = this;
    const waiting = setTimeout(() => this.card === null && this.write("Loading…"), SOON);
    try {
      const found = await one(id, this.inbox.live.token);
      if (this.id === id) {
        this.found(found, focused);
      }
    } catch (failure) {
      if (this.id === id) {
        this.failed(failure);
      }
    } finally {
      clearTimeout(waiting);
    }
  }

  found(request) {
    if (this.card === null) {
      const card = new Card(request, this);
      this.restore(card);
      if (request.outcome === "pending") {
        this.cards.set(card.id, card);
      }
      this.put(card);
    } else {
      this.steady(() => this.card.update(request));
    }
    if (request.outcome !== "pending") {
      this.end(this.card, request);
    }
  }

  failed(failure) {
    if (failure.fromServer && failure.status === 401) {
      this.inbox.failed(failure);
    } else if (failure.fromServer && failure.status === 404) {
      this.gone();
    } else if (this.card === null) {
      this.write(`The request cannot be shown: ${failure.message}.`);
    }
  }

  /** This person cannot see the request: a sentence is all that is left of it, here and in the list. */
  gone() {
    const inside = this.pane.contains(document.activeElement);
    this.cards.delete(this.id);
    if (this.card !== null) {
      this.passkeys.cancel();
      this.put(null);
    }
    this.inbox.pending.show(null);
    this.write(MISSING);
    if (inside) {
      this.pane.focus({ preventScroll: true });
    }
  }

  /** Show that the request of this card has ended as in `row`; `by` stands for who decided it. */
  end(card, row, by = null) {
    if (card?.waiting) {
      card.end(row, by);
      this.passkeys.cancel();
      this.cards.delete(card.id);
      this.inbox.ended(card);
    }
  }

  /** Say to screen readers how it ended. */
  tell(card) {
    this.say(`${card.sentence}: ${brief(headline(card.request.action))}`);
  }

  put(card) {
    if (this.card !== card) {
      this.card?.node.remove();
      this.card = card;
    }
    this.write("");
    if (card !== null && !card.node.isConnected) {
      this.pane.append(card.node);
      this.pane.scrollTop = 0;
      if (card.waiting) {
        card.arm();
      }
      card.refresh();
      card.tick();
    }
    this.pane.dataset.shows = card === null ? "" : card.id;
  }

  write(sentence) {
    this.note.textContent = sentence;
    this.note.hidden = sentence === "";
  }

  /**
   * The list was read: `there` has its requests by their ids. What is gone is forgotten; the request that is shown is read,
   * because a list may be cut, and a request that was not readable before may be so now; or it has other approvals.
   */
  listed(there) {
    for (const id of this.cards.keys()) {
      if (!there.has(id) && id !== this.id) {
        this.cards.delete(id);
      }
    }
    const waits = ["waiting", "signing"].includes(this.card?.state);
    const gone = waits && !there.has(this.id);
    const counted = waits && !gone && there.get(this.id).approvals?.have !== this.card.request.approvals?.have;
    if (this.id !== null && (this.card === null || gone || counted)) {
      this.read();
    }
  }

  /** Make a change, and disable the buttons for a moment if it moved them. */
  steady(change) {
    const { card } = this;
    const before = card?.node.isConnected ? card.target.getBoundingClientRect() : null;
    change();
    if (before !== null && card === this.card && card.waiting) {
      const { top, left } = card.target.getBoundingClientRect();
      if (Math.abs(top - before.top) > STEADY || Math.abs(left - before.left) > STEADY) {
        card.arm();
      }
    }
  }

  /** Disable the buttons for a moment: the window came to the front, or changed its size. */
  arm() {
    if (this.card?.waiting) {
      this.card.arm();
    }
  }

  refresh() {
    this.card?.refresh();
  }

  /** Each second; a changed duration may wrap differently, and move what is below it. */
  tick() {
    this.steady(() => this.card?.tick());
  }

  /** Focus the request, so that keys scroll it. */
  focus() {
    const target = this.card?.node ?? this.pane;
    target.focus({ preventScroll: true });
    if (this.pane.scrollHeight <= this.pane.clientHeight) {
      this.pane.scrollIntoView({ block: "start" });
    }
  }

  /** The session has ended: what this person typed is there again after signing in. */
  keep() {
    const typed = [...this.cards.values()].map((card) => [card.id, card.comment.value]).filter(([, text]) => text);
    this.drafts = { name: this.inbox.name, texts: new Map(typed) };
  }

  restore(card = this.card) {
    const { name, texts } = this.drafts;
    if (card !== null && name !== null && name === this.inbox.name && texts.has(card.id)) {
      card.comment.value = texts.get(card.id);
      texts.delete(card.id);
    }
  }

  /** Scroll the request for a key that nothing else takes; whether that was possible. */
  scroll(key) {
    const { clientHeight, scrollHeight } = this.pane;
    const step = { ArrowDown: 40, ArrowUp: -40, PageDown: clientHeight - 80, PageUp: 80 - clientHeight, " ": clientHeight - 80 }[key];
    const to = { Home: 0, End: scrollHeight }[key] ?? (step === undefined ? undefined : this.pane.scrollTop + step);
    if (to === undefined || scrollHeight <= clientHeight) {
      return false;
    }
    this.pane.scrollTop = to;
    return true;
  }

  clear() {
    this.cards.clear();
    this.id = null;
    this.put(null);
  }
}
