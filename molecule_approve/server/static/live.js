// The connection: the inbox is read over REST, and again after each event of the WebSocket. Events are hints only.

import { CallError, answers, below, current, inbox } from "./session.js";

const FIRST_DELAY = 500;
const LONGEST_DELAY = 15_000;
// Events that come together lead to one read.
const GATHER = 60;
// A WebSocket may be dead without a sign of it: from time to time a call checks the server.
const PULSE = 20_000;

/** Reads and listens until it is stopped. `owner` has `read(view)`, `state(word, until)` and `refused()`. */
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
      }, GATHER);
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
      this.owner.state("live");
      this.hint();
    });
    socket.addEventListener("message", () => this.hint());
    socket.addEventListener("close", () => this.lost(socket));
  }

  hangUp() {
    const socket = this.socket;
    this.socket = null;
    socket?.close();
  }

  lost(socket) {
    if (socket === this.socket && !this.stopped) {
      this.socket = null;
      this.later();
    }
  }

  // The delay doubles each time, with jitter.
  later(least = 0) {
    const wait = Math.max(least, this.delay * (0.75 + Math.random() / 2));
    this.delay = Math.min(LONGEST_DELAY, this.delay * 2);
    this.owner.state("lost", Date.now() + wait);
    clearTimeout(this.timers.retry);
    this.timers.retry = setTimeout(() => this.connect(), wait);
  }

  /** Read now; true if that succeeded. Calls during a read lead to one more read. */
  async read() {
    if (this.reading !== null) {
      this.again = true;
      return this.reading;
    }
    this.reading = this.readOnce();
    const done = await this.reading;
    this.reading = null;
    if (this.again) {
      this.again = false;
      this.hint();
    }
    return done;
  }

  async readOnce() {
    try {
      const found = await inbox(this.token);
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
