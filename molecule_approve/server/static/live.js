// The connection: what waits is read over REST, and read again after each event of the socket. Events are hints only.
// It knows how to lose a connection and find it again; what is done with what was read is its owner's matter.

import { CallError, answers, current, desk } from "./session.js";

const FIRST_DELAY = 500;
const LONGEST_DELAY = 15_000;
// Events that come together lead to one read.
const GATHER = 60;
// A socket whose other end vanished says nothing: from time to time somebody is asked.
const PULSE = 20_000;

/** Reads and listens until it is stopped. `tell` has `read(desk)`, `state(word, until)` and `refused()`. */
export class Live {
  constructor(tell) {
    this.tell = tell;
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
    this.tell.state("connecting");
    this.connect();
    this.pulse = setInterval(() => this.feel(), PULSE);
  }

  stop() {
    this.stopped = true;
    clearInterval(this.pulse);
    Object.values(this.timers).forEach(clearTimeout);
    this.hangUp();
  }

  /** Try at once, because somebody asks for it or the network is back. */
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

  // The read comes first: a browser does not tell why a socket was refused, and a 401 must end the session here.
  async connect() {
    if ((await this.read()) && !this.stopped && this.socket === null) {
      this.listen();
    }
  }

  listen() {
    const address = `${location.protocol === "https:" ? "wss" : "ws"}://${location.host}/ws`;
    const socket = new WebSocket(address, ["molecule-desk", `session.${this.token}`]);
    this.socket = socket;
    socket.addEventListener("open", () => {
      this.delay = FIRST_DELAY;
      this.tell.state("live");
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

  // Twice the delay each time, and never at the same moment as other pages.
  later(least = 0) {
    const wait = Math.max(least, this.delay * (0.75 + Math.random() / 2));
    this.delay = Math.min(LONGEST_DELAY, this.delay * 2);
    this.tell.state("lost", Date.now() + wait);
    clearTimeout(this.timers.retry);
    this.timers.retry = setTimeout(() => this.connect(), wait);
  }

  /** Read now; true if the answer came. Of several calls during one read, one more read is made. */
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
      const found = await desk(this.token);
      this.readAt = Date.now();
      if (!this.stopped) {
        this.tell.read(found);
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
    if (failure.told && (failure.status === 401 || failure.status === 403)) {
      this.tell.refused();
      return;
    }
    this.hangUp();
    this.later(failure.retryAfter * 1000);
  }

  async feel() {
    if (this.socket?.readyState === WebSocket.OPEN && !(await answers())) {
      const socket = this.socket;
      socket?.close();
      this.lost(socket);
    }
  }
}
