// The view of one's own sessions: by which browser, since when, used when; one of them, or all others, can be ended.

import { say } from "./notices.js";
import { call } from "./session.js";
import { make, show as showText } from "./text.js";
import { setServerTime, showAgo } from "./times.js";

const at = (id) => document.getElementById(id);

// A browser names itself like its rivals too: the first that fits is it.
const BROWSERS = [["Edg", "Edge"], ["OPR", "Opera"], ["Firefox", "Firefox"], ["Chrome", "Chrome"], ["Safari", "Safari"]];
const SYSTEMS = [
  ["Android", "Android"],
  ["iPhone", "iPhone"],
  ["iPad", "iPad"],
  ["Windows", "Windows"],
  ["Mac OS X", "macOS"],
  ["CrOS", "ChromeOS"],
  ["Linux", "Linux"],
];

/** The browser as people call it, from how it names itself; that name in other cases. */
export function browserName(client) {
  const [browser, system] = [BROWSERS, SYSTEMS].map((names) => names.find(([word]) => client.includes(word))?.[1]);
  if (!client) {
    return "unknown browser";
  }
  return browser && system ? `${browser} on ${system}` : client;
}

const isList = ({ now, sessions }) => typeof now === "string" && Array.isArray(sessions) && sessions.every(isSession);
const isSession = ({ id, client, began, used }) => [id, client, began, used].every((part) => typeof part === "string");

/** `page` has `failed(failure)`. The passkeys are shown below. */
export class SessionList {
  constructor(page, passkeys) {
    this.page = page;
    this.passkeys = passkeys;
    this.rows = [];
    at("end-others").addEventListener("click", () => this.end("others", "All other sessions have ended."));
    at("sessions").addEventListener("click", (event) => {
      const { id } = event.target.closest("button[data-id]")?.dataset ?? {};
      if (id) {
        this.end(id, "The session has ended.");
      }
    });
  }

  /** Read the sessions and show them. */
  async enter() {
    at("sessions-failed").hidden = true;
    this.passkeys.enter();
    try {
      const found = await call("GET", "/desk/sessions", isList);
      setServerTime(found.now);
      this.show(found.sessions);
    } catch (failure) {
      this.failed(failure);
    }
  }

  /** Forget what was shown. */
  clear() {
    this.show([]);
    this.passkeys.clear();
  }

  show(sessions) {
    this.rows = sessions.map((session) => new Row(session));
    at("sessions").replaceChildren(...this.rows.map((row) => row.element));
    at("end-others").hidden = !sessions.some((session) => session.current !== true);
  }

  async end(id, done) {
    try {
      await call("POST", `/desk/sessions/${encodeURIComponent(id)}/end`, ({ status }) => status === "ended", {});
      say(done);
      at("sessions-heading").focus();
    } catch (failure) {
      // It may have ended by itself meanwhile.
      if (failure.body?.code !== "unknown_session") {
        this.failed(failure);
        return;
      }
    }
    await this.enter();
  }

  failed(failure) {
    at("sessions-failed").textContent = `Not done: ${failure.message}.`;
    at("sessions-failed").hidden = false;
    this.page.failed(failure);
  }

  tick() {
    this.rows.forEach((row) => row.tick());
    this.passkeys.tick();
  }
}

class Row {
  constructor({ id, client, began, used, current }) {
    this.element = make("li", "session");
    this.times = [[make("time"), Date.parse(began)], [make("time"), Date.parse(used)]];
    const name = make("p", "session-name");
    const browser = make("strong");
    showText(browser, browserName(client));
    browser.title = client;
    name.append(browser, ...(current === true ? [make("span", "session-own", "this one")] : []));
    const when = make("p", "small");
    when.append("Signed in ", this.times[0][0], ", last used ", this.times[1][0]);
    this.element.append(name, when, ...(current === true ? [] : [button(id, browser.textContent)]));
    this.tick();
  }

  tick() {
    this.times.forEach(([element, time]) => showAgo(element, time));
  }
}

function button(id, browser) {
  const found = make("button", "quiet way", "End");
  found.type = "button";
  found.dataset.id = id;
  found.setAttribute("aria-label", `End the session of ${browser}`);
  return found;
}
