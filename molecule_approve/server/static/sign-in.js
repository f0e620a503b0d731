// The sign-in view: the ways in, and the question before another person is signed in. Sessions are in session.js.

import { ARMING } from "./card.js";
import { say } from "./notices.js";
import * as openid from "./openid.js";
import { show as showText, showCommand } from "./text.js";

const at = (id) => document.getElementById(id);

/**
 * `entrance` has `back()`, to stay signed in as before, `change()`, to sign in the other person, `byToken(token)`, and
 * `failed(failure)`.
 */
export class SignIn {
  constructor(entrance) {
    this.armed = false;
    this.entrance = entrance;
    const address = new URL(".", document.baseURI).href.replace(/\/$/u, "");
    at("make-link").textContent = `PLATFORM_URL=${address} molecule-approve approvers link`;
    // The commands of the page's own texts, here and in the other views.
    document.querySelectorAll("code").forEach((code) => showCommand(code, code.textContent));
    at("back").addEventListener("click", () => entrance.back());
    at("stay").addEventListener("click", () => this.armed && entrance.back());
    at("change").addEventListener("click", () => this.armed && entrance.change());
    at("by-openid").addEventListener("click", () => this.leaveForProvider());
    at("by-token").addEventListener("click", () => this.takeToken());
    at("token").addEventListener("keydown", (event) => event.key === "Enter" && this.takeToken());
  }

  /** Show the ways in, and a sentence why; `signedIn` says that there is a session to go back to. */
  show(sentence, signedIn = false) {
    this.toggle("sign-in");
    at("why").textContent = sentence;
    at("why").hidden = !sentence;
    at("back").hidden = !signedIn;
    at("token").value = "";
    this.look();
  }

  // Another server may be there after a restart, so this is asked each time.
  async look() {
    const name = await openid.provider();
    at("openid").hidden = name === null;
    showText(at("provider"), name ?? "");
  }

  async leaveForProvider() {
    try {
      await openid.start();
    } catch (failure) {
      this.entrance.failed(failure);
    }
  }

  // The token is in the field until here, and in the body of one call: nowhere else, so that nobody finds it in this browser.
  takeToken() {
    const token = at("token").value.trim();
    at("token").value = "";
    if (token === "") {
      at("token").focus();
    } else {
      this.entrance.byToken(token);
    }
  }

  /** Ask whether to sign in `offered` instead of `here`. Neither answer is the default. */
  ask(here, offered) {
    this.toggle("ask");
    for (const [id, name] of [["here", here], ["offered", offered], ["stay-name", here], ["change-name", offered]]) {
      showText(at(id), name);
    }
    this.arm();
    at("ask-heading").focus();
    say(`Change who is signed in? This browser is signed in as ${here}, and now ${offered} would be.`);
  }

  /** Show the panel that enrols a passkey (enrolment.js). */
  enrol() {
    this.toggle("enrol");
  }

  toggle(panel) {
    for (const id of ["ask", "sign-in", "enrol"]) {
      at(id).hidden = id !== panel;
    }
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
