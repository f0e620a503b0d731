// The history: ended requests, latest first, page by page, and the search in them. The search is in the address.

import { RowList } from "./list.js";
import { past } from "./requests.js";
import { EndedRow } from "./row.js";

const TYPED = 300;
const FIELDS = ["q", "who", "outcome", "since", "until"];
// The server examines a part of the past for each call: so many calls are made for one page before a person is asked.
const ROUNDS = 8;
const PAGE = 50;

const at = (id) => document.getElementById(id);

// A day in this browser's time zone, as moments.
function moments({ since, until, ...others }) {
  const start = (day, more) => {
    const [year, month, date] = day.split("-").map(Number);
    return new Date(year, month - 1, date + more).toISOString();
  };
  return { ...others, since: since && start(since, 0), until: until && start(until, 1) };
}

/** `inbox` has `choose(id)`, `address(path)`, `failed(failure)` and `live`. */
export class HistoryPane {
  constructor(inbox) {
    this.inbox = inbox;
    this.form = at("search");
    this.reading = 0;
    this.list = new RowList(at("ended"), (request) => new EndedRow(request), (id) => inbox.choose(id));
    this.clear();
    this.form.addEventListener("submit", (event) => event.preventDefault());
    this.form.addEventListener("input", () => this.typed());
    at("older").addEventListener("click", () => this.older());
  }

  get search() {
    const found = new FormData(this.form);
    return Object.fromEntries(FIELDS.map((name) => [name, found.get(name).trim()]).filter(([, value]) => value));
  }

  /** The path of this search, below the base. */
  get path() {
    const words = new URLSearchParams(this.search).toString();
    return words ? `history?${words}` : "history";
  }

  /** Show what the address asks for. */
  enter() {
    const asked = new URLSearchParams(location.search);
    for (const name of FIELDS) {
      const field = this.form.elements[name];
      field.value = asked.get(name) ?? "";
      if (field.selectedIndex === -1) {
        // The address names an outcome that there is not: any.
        field.value = "";
      }
    }
    this.restart();
  }

  typed() {
    clearTimeout(this.typing);
    this.typing = setTimeout(() => {
      this.inbox.address(this.path);
      this.restart();
    }, TYPED);
  }

  /** Read the first page of this search. */
  restart() {
    this.rows = [];
    this.next = null;
    this.turn = {};
    at("found").textContent = "Searching…";
    at("older").hidden = true;
    this.read(this.turn, "");
  }

  older() {
    at("older").hidden = true;
    this.read(this.turn, this.next);
  }

  async read(turn, cursor) {
    const [search, before] = [moments(this.search), this.rows.length];
    let [next, to] = [cursor, null];
    this.reading += 1;
    try {
      for (let round = 0; round < ROUNDS && next !== null && this.rows.length - before < PAGE; round += 1) {
        const page = await past({ ...search, cursor: next }, this.inbox.live?.token);
        if (turn !== this.turn) {
          return;
        }
        this.rows.push(...page.ended);
        [next, to] = [page.next, page.searched_to];
        this.show(next, to);
      }
    } catch (failure) {
      if (turn === this.turn) {
        this.failed(failure, next);
      }
    } finally {
      this.reading -= 1;
    }
  }

  show(next, to) {
    this.next = next;
    this.list.show(this.rows);
    at("older").hidden = next === null;
    at("found").textContent = this.sentence(next, to);
  }

  sentence(next, to) {
    if (next === null) {
      const nothing = Object.keys(this.search).length > 0 ? "No ended request matches." : "No request has ended yet.";
      return this.rows.length === 0 ? nothing : "";
    }
    return to && this.rows.length === 0 ? `Nothing found back to ${new Date(to).toLocaleDateString()}.` : "";
  }

  failed(failure, next) {
    if (failure.fromServer && failure.status === 401) {
      this.inbox.failed(failure);
      return;
    }
    this.next = next;
    at("older").hidden = false;
    at("found").textContent = `The history cannot be read: ${failure.message}.`;
  }

  /** Something ended: what is new comes in at the top. */
  async hint() {
    if (this.reading > 0) {
      return;
    }
    const { turn } = this;
    this.reading += 1;
    try {
      const page = await past(moments(this.search), this.inbox.live?.token);
      if (turn === this.turn) {
        this.add(page.ended);
      }
    } catch {
      // The connection says what is wrong.
    } finally {
      this.reading -= 1;
    }
  }

  add(latest) {
    const known = new Set(this.rows.map((row) => row.id));
    const fresh = latest.filter((row) => !known.has(row.id));
    if (this.rows.length > 0 && fresh.length > 0 && fresh.length === latest.length) {
      // More than a page has ended: there may be others between.
      this.restart();
    } else if (fresh.length > 0) {
      this.rows.unshift(...fresh);
      this.show(this.next, null);
    }
  }

  tick() {
    this.list.tick();
  }

  clear() {
    clearTimeout(this.typing);
    this.list.clear();
    this.rows = [];
    this.next = null;
    this.turn = {};
    this.form.reset();
  }
}
