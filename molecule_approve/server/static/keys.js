// The keyboard: j and k go from card to card, a and d choose, Shift with the same key confirms, ? shows it all.
// A single key, a word typed into the wrong window, or a key that is held down decides nothing.

const STORED = "molecule-desk.keys";
const TYPING = "input, textarea, select, [contenteditable]";

/** `inbox` has `cards()` in their order and `focus(card)`. */
export class Keys {
  constructor(inbox, help) {
    this.inbox = inbox;
    this.help = help;
    this.box = help.querySelector("#keys-on");
    this.box.checked = this.stored();
    this.box.addEventListener("change", () => this.store());
    document.addEventListener("keydown", (event) => this.pressed(event));
  }

  stored() {
    try {
      return localStorage.getItem(STORED) !== "off";
    } catch {
      return true;
    }
  }

  store() {
    try {
      localStorage.setItem(STORED, this.box.checked ? "on" : "off");
    } catch {
      // Then the setting lasts until the page is closed.
    }
  }

  /** The card that has the focus. */
  card() {
    return this.inbox.cards().find((card) => card.place.contains(document.activeElement));
  }

  pressed(event) {
    if (event.repeat) {
      // A key that is held down would click the focused button again and again.
      if (event.target.closest("button") && ["Enter", " "].includes(event.key)) {
        event.preventDefault();
      }
      return;
    }
    if (this.help.open || event.ctrlKey || event.metaKey || event.altKey || event.isComposing) {
      return;
    }
    if (event.key === "Escape") {
      this.escape(event);
    } else if (this.box.checked && event.key.length === 1 && !event.target.closest(TYPING)) {
      this.character(event);
    }
  }

  escape(event) {
    const card = this.card();
    if (card?.choice) {
      card.unchoose();
    } else if (event.target.closest(TYPING)) {
      card?.node.focus();
    }
  }

  character(event) {
    const card = this.card();
    if (event.key === " " && event.target.closest("button, a, summary")) {
      return;
    }
    // Caps lock must not matter.
    const key = event.key.toLowerCase();
    if (card?.choice) {
      event.preventDefault();
      this.confirm(card, key, event.shiftKey);
      return;
    }
    const action = this.actions(card)[key];
    // On most keyboards the question mark itself needs Shift.
    if (action && (key === "?" || !event.shiftKey)) {
      event.preventDefault();
      action();
    }
  }

  // Every other key cancels the choice: a word that is typed here by mistake must not decide.
  confirm(card, key, shift) {
    if (shift && key === { approved: "a", denied: "d" }[card.choice]) {
      card.decide(card.choice);
    } else {
      card.unchoose();
    }
  }

  actions(card) {
    const waiting = card?.waiting ? card : null;
    return {
      j: () => this.go(card, 1),
      k: () => this.go(card, -1),
      "?": () => this.help.showModal(),
      ...(waiting && {
        a: () => card.choose("approved"),
        d: () => card.choose("denied"),
        c: () => card.comment.focus(),
        o: () => card.open(),
      }),
    };
  }

  go(card, step) {
    const cards = this.inbox.cards();
    const at = card ? cards.indexOf(card) + step : step > 0 ? 0 : cards.length - 1;
    if (cards.length > 0) {
      this.inbox.focus(cards[Math.min(cards.length - 1, Math.max(0, at))]);
    }
  }
}
