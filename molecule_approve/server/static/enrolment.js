// Enrolling passkeys: the first by an administrator's link, further ones in the view of one's sessions, where all are listed.

import { say } from "./notices.js";
import { enrol, invited, isElsewhere, obstacleOf } from "./passkeys.js";
import { make, plain, show } from "./text.js";
import { showAgo } from "./times.js";

const at = (id) => document.getElementById(id);
const OLD = "This link was already used, or is older than ten minutes. Ask your administrator for a new one.";

function refusal(failure) {
  if (failure.isHere || failure.status !== 401) {
    return `No passkey was added: ${failure.message}.`;
  }
  return OLD;
}

/** The panel that a link opens. `entrance` has `leave(sentence)`, `open()` and `showEnrolment()`. */
export class Enrolment {
  constructor(entrance) {
    this.entrance = entrance;
    this.code = null;
    at("enrol-create").addEventListener("click", () => this.create());
    at("enrol-label").addEventListener("keydown", (event) => event.key === "Enter" && this.create());
    at("enrol-done").addEventListener("click", () => this.leave());
  }

  /** Show the panel for the code of a link. */
  async show(code) {
    this.code = code;
    this.say("");
    at("enrol-form").hidden = at("enrol-elsewhere").hidden = true;
    this.entrance.showEnrolment();
    try {
      this.owner = await invited(code);
    } catch (failure) {
      this.say(refusal(failure));
      return;
    }
    show(at("enrol-name"), this.owner.name);
    const obstacle = obstacleOf(this.owner);
    at("enrol-form").hidden = obstacle !== "";
    this.say(obstacle && `No passkey can be added: ${obstacle}.`);
    if (this.owner.available && isElsewhere(this.owner.page)) {
      at("enrol-elsewhere").hidden = false;
      at("enrol-there").href = `${this.owner.page}/#enrol=${encodeURIComponent(code)}`;
      at("enrol-there").textContent = `Add it at ${new URL(this.owner.page).origin}`;
    }
    at("enrol-heading").focus();
  }

  async create() {
    const label = at("enrol-label").value.trim();
    if (label === "") {
      at("enrol-label").focus();
      return;
    }
    at("enrol-create").disabled = true;
    this.say("Waiting for your passkey…");
    try {
      await enrol(this.owner, this.code, label);
      at("enrol-form").hidden = true;
      this.say(`The passkey “${label}” is enrolled. Sign in to use it.`, true);
    } catch (failure) {
      this.say(refusal(failure));
    } finally {
      at("enrol-create").disabled = false;
    }
  }

  say(sentence, isDone = false) {
    at("enrol-why").hidden = !sentence;
    at("enrol-why").classList.toggle("done", isDone);
    show(at("enrol-why"), sentence);
  }

  leave() {
    this.code = null;
    this.entrance.leave("");
    this.entrance.open();
  }
}

/** One's passkeys in the view of one's sessions. */
export class PasskeyList {
  constructor(passkeys) {
    this.passkeys = passkeys;
    this.times = [];
    at("add-passkey").addEventListener("click", () => this.add());
    at("passkey-list").addEventListener("click", (event) => this.clicked(event));
    at("passkey-label").addEventListener("keydown", (event) => event.key === "Enter" && this.add());
  }

  /** Read them and show them. */
  async enter() {
    this.say("");
    if (!(await this.passkeys.load())) {
      this.say("Your passkeys cannot be read now.");
    }
    this.show();
  }

  show() {
    const { keys, obstacle, found } = this.passkeys;
    at("passkeys").hidden = found?.available !== true;
    this.times = keys.map((key) => [make("time"), Date.parse(key.added_at)]);
    at("passkey-list").replaceChildren(...keys.map((key, number) => row(key, this.times[number][0])));
    at("further").hidden = obstacle !== "";
    at("no-passkey").hidden = obstacle === "";
    show(at("no-passkey-why"), obstacle && `${obstacle[0].toUpperCase()}${obstacle.slice(1)}.`);
    at("get-passkey").hidden = keys.length > 0;
    this.tick();
  }

  async add() {
    const label = at("passkey-label").value.trim();
    if (label === "") {
      at("passkey-label").focus();
      return;
    }
    this.say("Make the new passkey, then confirm it with one that you have.");
    try {
      await this.passkeys.add(label);
      at("passkey-label").value = "";
      await this.enter();
      say(`The passkey ${label} is enrolled.`);
    } catch (failure) {
      this.say(refusal(failure));
    }
  }

  // The first click asks; the second click of a double click does not answer.
  clicked(event) {
    const button = event.target.closest("button[data-id]");
    if (!button || event.detail > 1) {
      return;
    }
    if (button.dataset.asked) {
      this.remove(button.dataset.id);
    } else {
      button.dataset.asked = "true";
      button.textContent = `Yes, remove ${button.dataset.label}`;
      button.removeAttribute("aria-label");
    }
  }

  async remove(id) {
    try {
      await this.passkeys.remove(id);
      say("The passkey is removed.");
      at("passkeys-heading").focus();
      await this.enter();
    } catch (failure) {
      this.say(`Not removed: ${failure.message}.`);
    }
  }

  say(sentence) {
    at("passkey-failed").hidden = !sentence;
    show(at("passkey-failed"), sentence);
  }

  clear() {
    this.passkeys.clear();
    this.times = [];
    at("passkey-list").replaceChildren();
  }

  tick() {
    this.times.forEach(([element, time]) => showAgo(element, time));
  }
}

function row({ id, label }, when) {
  const found = make("li", "session");
  const line = make("p", "small", "Added ");
  const remove = make("button", "quiet way", "Remove");
  Object.assign(remove, { type: "button" });
  Object.assign(remove.dataset, { id, label: plain(label) });
  remove.setAttribute("aria-label", `Remove the passkey ${plain(label)}`);
  line.append(when);
  found.append(show(make("strong", "session-name"), label), line, remove);
  return found;
}
