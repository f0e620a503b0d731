// The way in: why the desk is shut, and the question before one person takes the place of another.
// What a session is and who it stands for is session.js.

import { ARMING } from "./card.js";
import { say } from "./tell.js";
import { show } from "./text.js";

const at = (id) => document.getElementById(id);

/** `desk` has `back()`, for who stays as they are, and `change()`, for who takes the other's place. */
export class Door {
  constructor(desk) {
    this.armed = false;
    at("back").addEventListener("click", () => desk.back());
    at("stay").addEventListener("click", () => this.armed && desk.back());
    at("change").addEventListener("click", () => this.armed && desk.change());
  }

  /** Show how to come in, with a sentence that says why it is wanted; `open` says that somebody may go back in as they are. */
  shut(sentence, open = false) {
    this.turn(false);
    at("why").textContent = sentence;
    at("why").hidden = !sentence;
    at("back").hidden = !open;
  }

  /** Ask whether `comer` shall sit here instead of `here`. Neither answer is the default one. */
  ask(here, comer) {
    this.turn(true);
    for (const [id, name] of [["here", here], ["comer", comer], ["stay-name", here], ["change-name", comer]]) {
      show(at(id), name);
    }
    this.arm();
    at("ask-heading").focus();
    say(`Change who is signed in? This browser is signed in as ${here}, and the link is ${comer}'s.`);
  }

  turn(asking) {
    at("ask").hidden = !asking;
    at("way-in").hidden = asking;
  }

  // The second click of a double click on the link, or a key that was meant for another window, must not answer.
  arm() {
    this.rest(true);
    clearTimeout(this.arming);
    this.arming = setTimeout(() => this.rest(false), ARMING);
  }

  rest(resting) {
    this.armed = !resting;
    for (const id of ["stay", "change"]) {
      at(id).setAttribute("aria-disabled", String(resting));
    }
  }
}
