// The sign-in view: how to sign in, and the question before another person is signed in. Sessions are in session.js.

import { ARMING } from "./card.js";
import { say } from "./notices.js";
import { show as showText } from "./text.js";

const at = (id) => document.getElementById(id);

/** `inbox` has `back()`, to stay signed in as before, and `change()`, to sign in the other person. */
export class SignIn {
  constructor(inbox) {
    this.armed = false;
    at("back").addEventListener("click", () => inbox.back());
    at("stay").addEventListener("click", () => this.armed && inbox.back());
    at("change").addEventListener("click", () => this.armed && inbox.change());
  }

  /** Show how to sign in, and a sentence why; `signedIn` says that there is a session to go back to. */
  show(sentence, signedIn = false) {
    this.toggle(false);
    at("why").textContent = sentence;
    at("why").hidden = !sentence;
    at("back").hidden = !signedIn;
  }

  /** Ask whether to sign in `offered` instead of `here`. Neither answer is the default. */
  ask(here, offered) {
    this.toggle(true);
    for (const [id, name] of [["here", here], ["offered", offered], ["stay-name", here], ["change-name", offered]]) {
      showText(at(id), name);
    }
    this.arm();
    at("ask-heading").focus();
    say(`Change who is signed in? This browser is signed in as ${here}, and the link is for ${offered}.`);
  }

  toggle(asking) {
    at("ask").hidden = !asking;
    at("sign-in").hidden = asking;
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
