// Texts that are long, and details, behind a button. Each remembers whether a person has seen it: a request can be approved
// only after all of them were shown.

import { isLong, make, show, showCommand } from "./text.js";

const written = (count, unit) => `${count.toLocaleString()} ${unit}${count === 1 ? "" : "s"}`;

/** A text in full, behind a button if it is long. It is shown or folded by `opened(change)`, which makes the change. */
export class Fold {
  constructor(text, className, opened, isCommand = false) {
    this.seen = !isLong(text);
    this.body = make("span", `words ${className}`);
    (isCommand ? showCommand : show)(this.body, text, true);
    this.node = make("span", "fold");
    this.node.append(this.body);
    if (!this.seen) {
      this.close(text, opened);
    }
  }

  close(text, opened) {
    const size = `${written(text.length, "character")}, ${written(text.split("\n").length, "line")}`;
    const button = make("button", "unfold");
    button.type = "button";
    this.node.append(button);
    const turn = (open) => {
      this.node.classList.toggle("folded", !open);
      button.setAttribute("aria-expanded", String(open));
      button.textContent = open ? "Show less" : `Show all (${size})`;
    };
    button.addEventListener("click", () => {
      const open = button.getAttribute("aria-expanded") !== "true";
      this.seen = true;
      opened(() => turn(open));
    });
    this.button = button;
    turn(false);
  }

  /** Show or fold it. */
  open() {
    this.button.click();
  }
}

/** The details of a request: hashes, ids and raw JSON. `must` says that a person has to see them before approving. */
export class Details {
  constructor(node, must, opened) {
    this.node = node;
    this.seen = !must;
    this.opened = opened;
    this.button = node.querySelector("summary");
    this.button.addEventListener("click", (event) => {
      event.preventDefault();
      this.open();
    });
    // A browser's search in the page opens them too.
    node.addEventListener("toggle", () => this.see());
  }

  see() {
    if (this.node.open && !this.seen) {
      this.seen = true;
      this.opened(() => {});
    }
  }

  /** Show or fold them. */
  open() {
    this.opened(() => {
      this.node.open = !this.node.open;
    });
    this.see();
  }
}
