// The approver's desk: puts the parts together. Who sits here is session.js, the connection live.js, the list waiting.js.

import { Decided } from "./decided.js";
import { Door } from "./door.js";
import { Keys } from "./keys.js";
import { Live } from "./live.js";
import * as session from "./session.js";
import { Notices, count, say } from "./tell.js";
import { show } from "./text.js";
import { setServerTime } from "./times.js";
import { Waiting } from "./waiting.js";

// A person who is here keeps the session alive, at most this often; the page alone does not.
const PRESENCE = 5 * 60_000;

const at = (id) => document.getElementById(id);

class Desk {
  constructor() {
    this.connected = false;
    this.live = null;
    this.offer = null;
    this.door = new Door(this);
    this.waiting = new Waiting(at("waiting"), at("empty"), this);
    this.decided = new Decided(at("decided"), at("nothing-decided"));
    this.notices = new Notices(at("notify"), (id) => this.go(id));
    this.keys = new Keys(this, at("help"));
    this.listen();
    setInterval(() => this.tick(), 1000);
  }

  listen() {
    at("sign-out").addEventListener("click", () => this.signOut());
    at("retry").addEventListener("click", () => this.live?.retry());
    at("show-help").addEventListener("click", () => at("help").showModal());
    at("close-help").addEventListener("click", () => at("help").close());
    session.onOtherTab(() => this.open());
    addEventListener("hashchange", () => this.open());
    addEventListener("online", () => this.live?.retry());
    addEventListener("offline", () => this.live?.feel());
    for (const name of ["focus", "resize"]) {
      // The click that brings the window to the front must not be one that decides.
      addEventListener(name, () => this.waiting.arm());
    }
    document.addEventListener("visibilitychange", () => this.waiting.arm());
    for (const name of ["pointerdown", "keydown"]) {
      addEventListener(name, () => this.present(), { passive: true });
    }
  }

  /** Show the desk or the way in, as the session and the address bar want it. */
  async open() {
    this.decline();
    const code = session.takeCode();
    if (code !== null) {
      await this.signIn(code);
    } else if (session.current() === null) {
      this.leave("");
    } else if (this.live?.token !== session.current()) {
      this.enter();
    }
  }

  async signIn(code) {
    this.leave("Signing in…");
    const before = session.current();
    try {
      const here = await session.whoIsHere();
      this.admit(before, here, await session.exchange(code));
    } catch (failure) {
      this.leave(refusal(failure), session.current() !== null);
    }
  }

  // A link that somebody else sent must not put another name under the decisions of who sits here already.
  admit(before, here, offer) {
    this.decline();
    if (session.current() !== before) {
      // Another tab was faster: the question would name the wrong person.
      session.end(offer.token);
      this.back();
    } else if (here === null || here === offer.name) {
      this.sit(offer.token);
    } else {
      this.offer = offer.token;
      this.door.ask(here, offer.name);
    }
  }

  /** Let go of a session that was offered and not taken; nobody else knows it. */
  decline() {
    if (this.offer !== null) {
      session.end(this.offer);
      this.offer = null;
    }
  }

  /** Stay as it was: who is signed in goes on, and the other one's session ends. */
  back() {
    this.leave("");
    this.open();
  }

  /** Take the place of who is signed in. */
  change() {
    const token = this.offer;
    this.offer = null;
    this.sit(token);
  }

  sit(token) {
    session.take(token);
    this.enter();
  }

  enter() {
    this.live?.stop();
    this.live = new Live(this);
    document.body.dataset.view = "desk";
    this.live.start();
  }

  /** Show the way in, and why; `open` says that somebody may go back in as they are. */
  leave(sentence, open = false) {
    this.live?.stop();
    this.live = null;
    this.connected = false;
    this.waiting.clear();
    this.decided.show([]);
    count(0);
    document.body.dataset.view = "sign-in";
    this.door.shut(sentence, open);
  }

  async signOut() {
    const ending = session.signOut();
    this.leave("You are signed out.");
    at("sign-in-heading").focus();
    if (!(await ending) && this.live === null) {
      this.leave("You are signed out here. The server did not say so: there the session ends within an hour.");
    }
  }

  // What the connection tells.

  read(desk) {
    setServerTime(desk.now);
    show(at("name"), desk.name);
    at("name").dataset.name = desk.name;
    this.connected = true;
    this.waiting.show(desk.pending, desk.decided);
    this.decided.show(desk.decided);
    this.count();
    this.more(desk.waiting - desk.pending.length);
    document.body.dataset.read = String(Number(document.body.dataset.read ?? 0) + 1);
  }

  // The server sends the oldest ones first, and not without end.
  more(hidden) {
    at("more").hidden = !(hidden > 0);
    at("more").textContent = `${hidden} more wait; they come up when these are decided.`;
  }

  state(word, until) {
    const before = document.body.dataset.connection;
    document.body.dataset.connection = word;
    this.until = until;
    at("connection").textContent = { connecting: "Connecting…", live: "Live", lost: "No connection" }[word];
    at("lost").hidden = word !== "lost";
    this.connected = word === "live" || (word === "connecting" && this.connected);
    this.countdown();
    this.waiting.refresh();
    if (word === "lost" && before !== "lost") {
      say("The connection is lost. What you see may be old.");
    } else if (word === "live" && before === "lost") {
      this.waiting.arm();
      say("The connection is back.");
    }
  }

  refused() {
    session.forget(this.live.token);
    this.notices.signedOut();
    this.leave("Your session has ended. Nothing was decided by that.");
    say("Your session has ended.");
  }

  // What the list wants.

  say(sentence) {
    say(sentence);
  }

  arrived(request) {
    this.notices.arrived(request);
  }

  async decide(card, decision, comment) {
    const live = this.live;
    try {
      await session.decide(card.request, decision, comment, live.token);
    } catch (failure) {
      this.undecided(card, failure, live);
      return;
    }
    card.mine = true;
    this.waiting.ended(card, { outcome: decision, comment });
    this.count();
    live.hint();
  }

  undecided(card, failure, live) {
    if (failure.told && failure.status === 401) {
      live.failed(failure);
      return;
    }
    if (failure.status === 409 && failure.body.approval_id === card.id) {
      this.late(card, failure.body);
      return;
    }
    const why = failure.message;
    const sentence = failure.told
      ? `Not decided: ${why}.`
      : `${why[0].toUpperCase()}${why.slice(1)}. Whether it was decided will show in a moment.`;
    card.failed(sentence);
    say(sentence);
    live.hint();
  }

  // Somebody else was faster. The comment of who won comes with the next read; without one the refusal names the winner.
  async late(card, won) {
    card.late = true;
    card.state = "waiting";
    await this.live?.read();
    if (card.waiting) {
      this.waiting.ended(card, won);
    }
    this.count();
  }

  // For the keyboard and the notices.

  cards() {
    return this.waiting.ordered();
  }

  focus(card) {
    this.waiting.focus(card);
  }

  go(id) {
    const card = this.waiting.cards.get(id);
    if (card) {
      this.focus(card);
    }
  }

  present() {
    if (this.connected && Date.now() - this.live.readAt > PRESENCE) {
      this.live.hint();
    }
  }

  count() {
    const waiting = this.waiting.count;
    count(waiting);
    at("count").textContent = String(waiting);
    at("count").hidden = waiting === 0;
  }

  countdown() {
    if (!at("lost").hidden) {
      const seconds = Math.max(0, Math.ceil((this.until - Date.now()) / 1000));
      at("retry-in").textContent = seconds > 0 ? `Trying again in ${seconds} s.` : "Trying again…";
    }
  }

  tick() {
    this.waiting.tick();
    this.decided.tick();
    this.countdown();
    this.count();
  }
}

function refusal(failure) {
  if (failure.status === 401) {
    return "This sign-in link was used already, or its minute is over. Make a new one.";
  }
  if (failure.status === 429) {
    return `Too many attempts. Wait ${failure.retryAfter || 60} s, then make a new link.`;
  }
  return failure.status === 0 ? "The server does not answer. Start it, then make a new link." : `No entry: ${failure.message}.`;
}

new Desk().open();
