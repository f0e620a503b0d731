// The inbox page: puts the parts together. Sessions are in session.js, the connection in live.js, the list in pending.js.

import { EndedList } from "./ended.js";
import { SignIn } from "./sign-in.js";
import { Keys } from "./keys.js";
import { Live } from "./live.js";
import * as session from "./session.js";
import { Notices, count, say } from "./notices.js";
import * as openid from "./openid.js";
import { SessionList } from "./sessions.js";
import { show } from "./text.js";
import { setServerTime } from "./times.js";
import { PendingList } from "./pending.js";

// Clicks and keys keep the session alive, at most this often; an open page alone does not.
const PRESENCE = 5 * 60_000;

const at = (id) => document.getElementById(id);

class Inbox {
  constructor() {
    this.connected = false;
    this.live = null;
    this.offer = null;
    this.signInView = new SignIn(this);
    this.pending = new PendingList(at("waiting"), at("empty"), this);
    this.endedList = new EndedList(at("ended"), at("nothing-ended"));
    this.sessions = new SessionList(this);
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
    for (const id of ["show-sessions", "leave-sessions"]) {
      at(id).addEventListener("click", (event) => this.turn(event));
    }
    addEventListener("popstate", () => this.live && this.visit());
    session.onOtherTab(() => this.open());
    addEventListener("hashchange", () => this.open());
    addEventListener("online", () => this.live?.retry());
    addEventListener("offline", () => this.live?.check());
    for (const name of ["focus", "resize"]) {
      // The click that brings the window to the front must not decide.
      addEventListener(name, () => this.pending.arm());
    }
    document.addEventListener("visibilitychange", () => this.pending.arm());
    for (const name of ["pointerdown", "keydown"]) {
      addEventListener(name, () => this.present(), { passive: true });
    }
  }

  /** Show the inbox or the sign-in view, depending on the session and the address bar. */
  async open() {
    this.decline();
    const back = openid.takeReturn();
    const code = session.takeCode();
    if (back !== null) {
      await this.signIn(() => openid.exchange(back), refusal);
    } else if (code !== null) {
      await this.signIn(() => session.exchange({ code }), refusalOfLink);
    } else if (session.current() === null) {
      this.leave("");
    } else if (this.live?.token !== session.current()) {
      this.enter();
    }
  }

  /** Sign in the person whose session `exchange()` gives; `refused(failure)` is the sentence if it gives none. */
  async signIn(exchange, refused) {
    this.leave("Signing in…");
    const before = session.current();
    try {
      const here = await session.signedInName();
      this.admit(before, here, await exchange());
    } catch (failure) {
      this.leave(refused(failure), session.current() !== null);
    }
  }

  /** Sign in with an approver's token. */
  byToken(token) {
    return this.signIn(() => session.exchange({ token }), refusalOfToken);
  }

  /** A sign-in or the view of one's sessions failed. */
  failed(failure) {
    if (this.live === null) {
      this.leave(refusal(failure), session.current() !== null);
    } else {
      this.live.failed(failure);
    }
  }

  turn(event) {
    event.preventDefault();
    history.pushState(null, "", event.currentTarget.href);
    this.visit();
  }

  /** Show the view that the address bar names. */
  visit() {
    const own = location.href === new URL("sessions", document.baseURI).href;
    document.body.dataset.view = own ? "sessions" : "inbox";
    if (own) {
      this.sessions.enter();
    }
  }

  // A link from somebody else must not put another name under the decisions of the person who is signed in.
  admit(before, here, offer) {
    this.decline();
    if (session.current() !== before) {
      // Another tab signed in meanwhile: the question would name the wrong person.
      session.end(offer.token);
      this.back();
    } else if (here === null || here === offer.name) {
      this.use(offer.token);
    } else {
      this.offer = offer.token;
      this.signInView.ask(here, offer.name);
    }
  }

  /** End a session that was offered but not used; nobody else knows it. */
  decline() {
    if (this.offer !== null) {
      session.end(this.offer);
      this.offer = null;
    }
  }

  /** Stay signed in as before; the other session ends. */
  back() {
    this.leave("");
    this.open();
  }

  /** Sign in the other person. */
  change() {
    const token = this.offer;
    this.offer = null;
    this.use(token);
  }

  use(token) {
    session.take(token);
    this.enter();
  }

  enter() {
    this.live?.stop();
    this.live = new Live(this);
    this.visit();
    this.live.start();
  }

  /** Show the sign-in view, and why; `signedIn` says that there is a session to go back to. */
  leave(sentence, signedIn = false) {
    this.live?.stop();
    this.live = null;
    this.connected = false;
    this.pending.clear();
    this.endedList.show([]);
    this.sessions.clear();
    count(0);
    document.body.dataset.view = "sign-in";
    this.signInView.show(sentence, signedIn);
  }

  async signOut() {
    const ending = session.signOut();
    this.leave("You are signed out.");
    at("sign-in-heading").focus();
    if (!(await ending) && this.live === null) {
      this.leave("You are signed out in this browser. The server did not confirm it; there the session ends within an hour.");
    }
  }

  // Called by the connection.

  read(view) {
    setServerTime(view.now);
    show(at("name"), view.name);
    at("name").dataset.name = view.name;
    this.connected = true;
    this.pending.show(view.pending, view.decided);
    this.endedList.show(view.decided);
    this.count();
    this.more(view.waiting - view.pending.length);
    document.body.dataset.read = String(Number(document.body.dataset.read ?? 0) + 1);
  }

  // The server sends only the oldest ones.
  more(hidden) {
    at("more").hidden = !(hidden > 0);
    at("more").textContent = `${hidden} more pending; they appear here once these have ended.`;
  }

  state(word, until) {
    const before = document.body.dataset.connection;
    document.body.dataset.connection = word;
    this.until = until;
    at("connection").textContent = { connecting: "Connecting…", live: "Live", lost: "No connection" }[word];
    at("lost").hidden = word !== "lost";
    this.connected = word === "live" || (word === "connecting" && this.connected);
    this.countdown();
    this.pending.refresh();
    if (word === "lost" && before !== "lost") {
      say("Connection lost. This page may be out of date.");
    } else if (word === "live" && before === "lost") {
      this.pending.arm();
      say("Connected again.");
    }
  }

  refused() {
    session.forget(this.live.token);
    this.notices.signedOut();
    this.leave("Your session has ended. Sign in again to decide.");
    say("Your session has ended.");
  }

  // Called by the list.

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
    this.pending.ended(card, { outcome: decision, comment });
    this.count();
    live.hint();
  }

  undecided(card, failure, live) {
    if (failure.fromServer && failure.status === 401) {
      live.failed(failure);
      return;
    }
    if (failure.status === 409 && failure.body.approval_id === card.id) {
      this.late(card, failure.body);
      return;
    }
    const why = failure.message;
    const sentence = failure.fromServer
      ? `Not decided: ${why}.`
      : `${why[0].toUpperCase()}${why.slice(1)}. The list will show whether it was decided.`;
    card.failed(sentence);
    say(sentence);
    live.hint();
  }

  // Somebody else decided first. The next read has their comment; if it fails, the refusal has their name.
  async late(card, won) {
    card.late = true;
    card.state = "waiting";
    await this.live?.read();
    if (card.waiting) {
      this.pending.ended(card, won);
    }
    this.count();
  }

  // Called by the keyboard and the notifications.

  cards() {
    return this.pending.ordered();
  }

  focus(card) {
    this.pending.focus(card);
  }

  go(id) {
    const card = this.pending.cards.get(id);
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
    const waiting = this.pending.count;
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
    this.pending.tick();
    this.endedList.tick();
    this.sessions.tick();
    this.countdown();
    this.count();
  }
}

function refusal(failure) {
  if (failure.status === 429) {
    return `Too many attempts. Wait ${failure.retryAfter || 60} s.`;
  }
  return `Sign-in failed: ${failure.message}.`;
}

function refusalOfLink(failure) {
  if (failure.status === 401) {
    return "This sign-in link was already used, or is older than a minute. Make a new one.";
  }
  const silent = failure.status === 0;
  return silent ? "The server does not answer. Start it, then make a new link." : `${refusal(failure)} Then make a new link.`;
}

function refusalOfToken(failure) {
  if (failure.status === 401) {
    return "This is not the token of an approver here, or it was revoked.";
  }
  return failure.status === 0 ? "The server does not answer. Start it, then try again." : refusal(failure);
}

new Inbox().open();
