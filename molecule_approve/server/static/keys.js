// The keyboard: j and k go from request to request, a and d choose for the one that is shown, wherever the focus is, Shift
// with the same key confirms, ? shows it all. A single key, a word typed into the wrong window, or a key that is held down
// decides nothing.

const STORED = "molecule-desk.keys";
const TYPING = "input, textarea, select, [contenteditable]";

/** `inbox` has `signedIn`, `card` (the request that is shown, or null), `step(by)`, `scroll(key)` and `search()`. */
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

  pressed(event) {
    if (event.repeat) {
      // A key that is held down would click the focused button again and again.
      if (event.target.closest("button") && ["Enter", " "].includes(event.key)) {
        event.preventDefault();
      }
      return;
    }
    if (!this.inbox.signedIn || this.help.open || event.ctrlKey || event.metaKey || event.altKey || event.isComposing) {
      return;
    }
    if (event.key === "Escape") {
      this.escape(event);
    } else if (event.target === document.body && !this.inbox.card?.choice && this.inbox.scroll(event.key)) {
      event.preventDefault();
    } else if (this.box.checked && event.key.length === 1 && !event.target.closest(TYPING)) {
      this.character(event);
    }
  }

  escape(event) {
    const { card } = this.inbox;
    if (card?.choice) {
      card.unchoose();
    } else if (event.target.closest(TYPING)) {
      event.target.blur();
      card?.node.focus({ preventScroll: true });
    }
  }

  character(event) {
    const { card } = this.inbox;
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
    // On many keyboards the question mark and the slash need Shift.
    if (action && ("?/".includes(key) || !event.shiftKey)) {
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
    return {
      j: () => this.inbox.step(1),
      k: () => this.inbox.step(-1),
      "/": () => this.inbox.search(),
      "?": () => this.help.showModal(),
      ...(card && { o: () => card.open() }),
      ...(card?.waiting && {
        a: () => card.choose("approved"),
        d: () => card.choose("denied"),
        c: () => card.comment.focus(),
      }),
    };
  }
}
