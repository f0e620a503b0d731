// The connection: the list is read over REST, and again after each event of the WebSocket. Events are hints only.

import { list } from "./requests.js";
import { CallError, answers, below, current } from "./session.js";

const FIRST_DELAY = 500;
const LONGEST_DELAY = 15_000;
// Events that come together lead to one read; after a long read the next one waits longer.
const GATHER = 60;
const SHARE = 3;
const LONGEST_PAUSE = 3_000;
// A WebSocket may be dead without a sign of it: from time to time a call checks the server.
const PULSE = 20_000;
// A socket that was closed comes back at once, but not again and again.
const RESPITE = 5_000;
// The server restarts, or another replica takes over: how often, and how soon, the page tries before it says that it is away.
const RESTARTING = 1012;
const RETURNS = 12;
const RETURN_DELAY = 250;
const PROGRESS = "APPROVAL_PROGRESS";

// An event; empty if it is not one.
function parsed(data) {
  try {
    return JSON.parse(data) ?? {};
  } catch {
    return {};
  }
}

/** Reads and listens until it is stopped. `owner` has `read(view)`, `state(word, until)`, `progressed(id)` and `refused()`. */
export class Live {
  constructor(owner) {
    this.owner = owner;
    this.token = current();
    this.socket = null;
    this.delay = FIRST_DELAY;
    this.timers = {};
    this.reading = null;
    this.again = false;
    this.stopped = false;
    this.readAt = 0;
    this.pause = GATHER;
    this.cameBack = -Infinity;
    this.returns = 0;
  }

  start() {
    this.owner.state("connecting");
    this.connect();
    this.pulse = setInterval(() => this.check(), PULSE);
  }

  stop() {
    this.stopped = true;
    clearInterval(this.pulse);
    Object.values(this.timers).forEach(clearTimeout);
    this.hangUp();
  }

  /** Try again at once: the person wants it, or the network is back. */
  retry() {
    if (!this.stopped && this.socket === null) {
      clearTimeout(this.timers.retry);
      this.connect();
    }
  }

  /** Read soon; many calls in a short time are one read. */
  hint() {
    if (!this.stopped && !this.timers.gather) {
      this.timers.gather = setTimeout(() => {
        this.timers.gather = null;
        this.read();
      }, this.pause);
    }
  }

  // The read comes first: a browser does not say why a WebSocket was refused, and a 401 must end the session.
  async connect() {
    if ((await this.read()) && !this.stopped && this.socket === null) {
      this.listen();
    }
  }

  listen() {
    const address = below("/ws");
    address.protocol = address.protocol === "https:" ? "wss:" : "ws:";
    const socket = new WebSocket(address, ["molecule-desk", `session.${this.token}`]);
    this.socket = socket;
    socket.addEventListener("open", () => {
      this.delay = FIRST_DELAY;
      this.returns = 0;
      this.owner.state("live");
      this.hint();
    });
    socket.addEventListener("message", ({ data }) => this.heard(data));
    socket.addEventListener("close", (event) => this.lost(socket, event.code));
  }

  heard(data) {
    this.hint();
    const { event, payload } = parsed(data);
    if (event === PROGRESS && !this.stopped) {
      this.owner.progressed(payload?.approval_id);
    }
  }

  hangUp() {
    const socket = this.socket;
    this.socket = null;
    socket?.close();
  }

  // Why a socket was closed shows in the read that comes next: the session was revoked, or the server is away.
  lost(socket, code) {
    if (socket !== this.socket || this.stopped) {
      return;
    }
    this.socket = null;
    if (code === RESTARTING) {
      this.returns = RETURNS;
    }
    if (this.returns > 0 || performance.now() - this.cameBack > RESPITE) {
      this.cameBack = performance.now();
      this.owner.state("returning");
      this.connect();
    } else {
      this.later();
    }
  }

  // The delay doubles each time, with jitter; while the server restarts it is short.
  later(least = 0) {
    clearTimeout(this.timers.retry);
    const jitter = 0.75 + Math.random() / 2;
    if (this.returns > 0 && least === 0) {
      this.returns -= 1;
      this.owner.state("returning");
      this.timers.retry = setTimeout(() => this.connect(), RETURN_DELAY * jitter);
      return;
    }
    const wait = Math.max(least, this.delay * jitter);
    this.delay = Math.min(LONGEST_DELAY, this.delay * 2);
    this.owner.state("lost", Date.now() + wait);
    this.timers.retry = setTimeout(() => this.connect(), wait);
  }

  /** Read now; true if that succeeded. Calls during a read lead to one more read. */
  async read() {
    if (this.reading !== null) {
      this.again = true;
      return this.reading;
    }
    const began = performance.now();
    this.reading = this.readOnce();
    const done = await this.reading;
    this.reading = null;
    this.pause = Math.min(LONGEST_PAUSE, Math.max(GATHER, SHARE * (performance.now() - began)));
    if (this.again) {
      this.again = false;
      this.hint();
    }
    return done;
  }

  async readOnce() {
    try {
      const found = await list(this.token);
      this.readAt = Date.now();
      if (!this.stopped) {
        this.owner.read(found);
      }
      return true;
    } catch (failure) {
      if (!(failure instanceof CallError)) {
        throw failure;
      }
      this.failed(failure);
      return false;
    }
  }

  failed(failure) {
    if (this.stopped) {
      return;
    }
    if (failure.fromServer && (failure.status === 401 || failure.status === 403)) {
      this.owner.refused();
      return;
    }
    this.hangUp();
    this.later(failure.retryAfter * 1000);
  }

  async check() {
    if (this.socket?.readyState === WebSocket.OPEN && !(await answers())) {
      const socket = this.socket;
      socket?.close();
      this.lost(socket);
    }
  }
}
