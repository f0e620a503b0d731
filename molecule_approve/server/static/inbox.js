// The page: puts the parts together. The session is in session.js, signing in in entrance.js, the connection in live.js,
// the lists in pending.js and history.js, the request that is shown in detail.js.

import { Detail } from "./detail.js";
import { Entrance } from "./entrance.js";
import { HistoryPane } from "./history.js";
import { Keys } from "./keys.js";
import { Live } from "./live.js";
import { Notices, count, say } from "./notices.js";
import { PasskeyList } from "./enrolment.js";
import { Passkeys } from "./passkeys.js";
import { Pending } from "./pending.js";
import { decide, retract } from "./requests.js";
import * as route from "./route.js";
import * as session from "./session.js";
import { SessionList } from "./sessions.js";
import { isRuled } from "./standing.js";
import { plain, show } from "./text.js";
import { setServerTime } from "./times.js";

// Clicks and keys keep the session alive, at most this often; an open page alone does not.
const PRESENCE = 5 * 60_000;
const CONNECTION = { connecting: "Connecting…", live: "Live", returning: "Reconnecting…", lost: "No connection" };

const at = (id) => document.getElementById(id);

class Inbox {
  constructor() {
    this.connected = false;
    this.live = null;
    this.name = null;
    this.view = "inbox";
    this.detail = new Detail(at("detail"), this);
    this.pending = new Pending(this);
    this.past = new HistoryPane(this);
    this.entrance = new Entrance(this);
    this.passkeys = new Passkeys();
    this.sessions = new SessionList(this.entrance, new PasskeyList(this.passkeys));
    this.notices = new Notices(at("notify"), (id) => this.go(id));
    this.keys = new Keys(this, at("help"));
    this.listen();
    setInterval(() => this.tick(), 1000);
  }

  get signedIn() {
    return this.live !== null;
  }

  get card() {
    return this.detail.card;
  }

  get list() {
    return this.view === "history" ? this.past.list : this.pending.list;
  }

  listen() {
    at("sign-out").addEventListener("click", () => this.entrance.signOut());
    at("retry").addEventListener("click", () => this.live?.retry());
    at("show-help").addEventListener("click", () => at("help").showModal());
    at("close-help").addEventListener("click", () => at("help").close());
    at("skip").addEventListener("click", (event) => {
      event.preventDefault();
      this.detail.focus();
    });
    document.addEventListener("click", (event) => this.turn(event));
    addEventListener("popstate", () => this.signedIn && this.visit());
    addEventListener("online", () => this.live?.retry());
    addEventListener("offline", () => this.live?.check());
    for (const name of ["focus", "resize"]) {
      // The click that brings the window to the front must not decide.
      addEventListener(name, () => this.detail.arm());
    }
    document.addEventListener("visibilitychange", () => {
      this.detail.arm();
      this.lookForPasskeys();
    });
    for (const name of ["pointerdown", "keydown"]) {
      addEventListener(name, () => this.present(), { passive: true });
    }
  }

  // Called by the entrance.

  /** Show the inbox for the session that is there. */
  enter() {
    this.live?.stop();
    this.live = new Live(this);
    const wanted = route.wanted();
    if (wanted !== null && route.isStart()) {
      route.go(route.addressOf(wanted), { replace: true });
    }
    this.visit();
    this.live.start();
    this.lookForPasskeys();
  }

  // Also when the person comes back to this tab: one may have been enrolled in another.
  async lookForPasskeys() {
    if (this.signedIn && this.passkeys.keys.length === 0 && (await this.passkeys.load())) {
      this.detail.refresh();
    }
  }

  /** Forget everything that was shown. */
  leave() {
    this.live?.stop();
    this.live = null;
    this.connected = false;
    this.name = null;
    this.detail.clear();
    this.pending.clear();
    this.past.clear();
    this.sessions.clear();
    at("lost").hidden = true;
    count(0);
    document.body.dataset.view = "sign-in";
  }

  // The views and their addresses.

  /** Show what the address bar names. */
  visit() {
    const { view, id } = route.here();
    const before = document.body.dataset.view;
    this.view = view;
    document.body.dataset.view = view;
    for (const link of document.querySelectorAll(".bar a[data-to]")) {
      const isHere = link.dataset.to === view;
      isHere ? link.setAttribute("aria-current", "page") : link.removeAttribute("aria-current");
    }
    if (view === "history" && (before !== "history" || id === null)) {
      this.past.enter();
    }
    if (view === "sessions") {
      this.sessions.enter();
    }
    this.select(id ?? (view === "inbox" ? this.first() : null), false);
  }

  // A link to another view.
  turn(event) {
    const link = event.target.closest("a[data-to]");
    if (link && event.button === 0 && !event.ctrlKey && !event.metaKey && !event.shiftKey && !event.altKey) {
      event.preventDefault();
      this.address(link.getAttribute("href"), false);
      this.visit();
    }
  }

  /** Change the address bar, without another step to go back to. */
  address(path, replace = true) {
    route.go(path, { replace });
  }

  /** A person chose this request: it is shown, has the focus, and its address is in the address bar. */
  choose(id, replace = false) {
    route.go(route.addressOf(id), { replace, from: this.view === "history" ? "history" : null });
    this.select(id, true);
  }

  select(id, focused) {
    const before = this.detail.id;
    this.list.select(id, focused);
    this.detail.show(id, focused);
    if (id === null && this.view === "history") {
      this.detail.write("Choose a request to see it here.");
    }
    if (before !== id) {
      // The row of a request that has ended goes as soon as another one is shown.
      this.pending.show(id);
    }
    this.empty();
  }

  first() {
    return this.detail.card?.waiting ? this.detail.id : (this.pending.list.ids[0] ?? null);
  }

  /** Go so many steps through the list. */
  step(by) {
    const id = this.list.neighbour(by);
    if (id !== null) {
      this.choose(id, true);
    }
  }

  /** After a decision: the next request, or none. */
  next() {
    const { id } = this.detail;
    const ids = this.list.ids;
    const to = ids[ids.indexOf(id) + 1] ?? ids.filter((other) => other !== id).at(-1) ?? null;
    if (to !== null) {
      this.choose(to, true);
    } else {
      this.address("./");
      this.select(null, false);
      at("detail").focus();
    }
  }

  /** Show this request in the inbox: a notification was clicked. */
  go(id) {
    this.address("./", false);
    this.visit();
    this.choose(id, true);
  }

  /** Scroll the request; whether that was possible. */
  scroll(key) {
    return this.detail.scroll(key);
  }

  search() {
    const field = this.view === "history" ? at("search").elements.q : at("filter");
    field.focus();
    field.select();
  }

  // Called by the connection.

  read(view) {
    setServerTime(view.now);
    show(at("name"), view.name);
    at("show-sessions").title = `${plain(view.name)}: your sessions`;
    this.name = view.name;
    this.detail.restore();
    this.connected = true;
    this.pending.read(view, this.detail.id);
    this.detail.listed(new Map(view.pending.map((request) => [request.id, request])));
    if (this.detail.id === null && this.view === "inbox") {
      this.select(route.here().id ?? this.first(), false);
    }
    if (this.view === "history") {
      this.past.hint();
    }
    this.detail.refresh();
    this.count();
    this.empty();
    document.body.dataset.read = String(Number(document.body.dataset.read ?? 0) + 1);
  }

  state(word, until) {
    const before = document.body.dataset.connection;
    document.body.dataset.connection = word;
    this.until = until;
    at("connection").textContent = CONNECTION[word];
    at("lost").hidden = word !== "lost";
    this.connected = word === "live" || (["connecting", "returning"].includes(word) && this.connected);
    this.countdown();
    this.detail.refresh();
    if (word === "lost" && before !== "lost") {
      say("Connection lost. This page may be out of date.");
    } else if (word === "live" && before === "lost") {
      this.detail.arm();
      say("Connected again.");
    }
  }

  /** A person decided about this request, or retracted that, and it goes on waiting. */
  progressed(id) {
    if (this.detail.id === id) {
      this.detail.read();
    }
  }

  refused() {
    session.forget(this.live.token);
    this.detail.keep();
    this.notices.signedOut();
    this.entrance.leave("Your session has ended. Sign in again to decide.");
    say("Your session has ended.");
  }

  // Called by the lists and the request.

  say(sentence) {
    say(sentence);
  }

  arrived(requests) {
    this.notices.arrived(requests);
  }

  failed(failure) {
    this.live?.failed(failure);
  }

  /** The request that is shown has ended. */
  ended(card) {
    this.pending.list.rows.get(card.id)?.end(card.tone);
    this.detail.tell(card);
    this.count();
  }

  async decide(card, decision, comment, isSigned) {
    const live = this.live;
    let found;
    try {
      const signed = isSigned ? await this.passkeys.sign(card.request, decision) : null;
      if (isSigned && !card.signed()) {
        return;
      }
      found = await decide(card.request, decision, comment, signed, live.token);
    } catch (failure) {
      this.undecided(card, failure, live);
      return;
    }
    if (found.status !== decision) {
      this.counted(card, decision, found, `Your approval counts: ${found.approvals.have} of ${found.approvals.need}.`);
      return;
    }
    this.pending.decided();
    this.detail.end(card, { outcome: decision, comment }, "by you");
    if (isRuled(card.request)) {
      this.progressed(card.id);
    }
    live.hint();
  }

  async retract(card) {
    const live = this.live;
    try {
      this.counted(card, null, await retract(card.request, live.token), "Your approval is retracted.");
    } catch (failure) {
      this.undecided(card, failure, live);
    }
  }

  // The request goes on waiting.
  counted(card, mine, { approvals }, sentence) {
    this.detail.steady(() => card.counted(mine, approvals));
    say(sentence);
    this.progressed(card.id);
    this.live?.hint();
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
    if (failure.isHere && !card.waiting) {
      return;
    }
    const why = failure.message;
    const sentence = failure.fromServer || failure.isHere
      ? `${card.request.mine ? "Not retracted" : "Not decided"}: ${why}.`
      : `${why[0].toUpperCase()}${why.slice(1)}. The list will show whether it was decided.`;
    card.failed(sentence);
    say(sentence);
    live.hint();
  }

  // Somebody else decided first. The request has their comment; if it cannot be read, the refusal has their name.
  async late(card, won) {
    card.late = true;
    card.state = "waiting";
    if (this.detail.card === card) {
      await this.detail.read();
    }
    this.detail.end(card, won);
    this.live?.hint();
  }

  present() {
    if (this.connected && Date.now() - this.live.readAt > PRESENCE) {
      this.live.hint();
    }
  }

  count() {
    const { waiting } = this.pending;
    count(waiting);
    at("count").textContent = waiting.toLocaleString();
    at("count").hidden = waiting === 0;
  }

  empty() {
    const nothing = this.view === "inbox" && this.detail.id === null && this.pending.known !== null && this.pending.waiting === 0;
    at("empty").hidden = !nothing;
    document.body.classList.toggle("nothing", nothing);
  }

  countdown() {
    if (!at("lost").hidden) {
      const seconds = Math.max(0, Math.ceil((this.until - Date.now()) / 1000));
      at("retry-in").textContent = seconds > 0 ? `Trying again in ${seconds} s.` : "Trying again…";
    }
  }

  tick() {
    this.list.tick();
    this.sessions.tick();
    this.detail.tick();
    this.countdown();
  }
}

new Inbox().entrance.open();
