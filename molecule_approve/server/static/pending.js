// The list of pending requests: what it shows of them all, the filter, and which one is chosen.

import { firstLine } from "./command.js";
import { RowList } from "./list.js";
import { list } from "./requests.js";
import { PendingRow, requesterOf } from "./row.js";
import { brief, make } from "./text.js";

// More new requests at once are announced by their number.
const FEW = 3;
const TYPED = 200;

// The server lists the oldest first.
const ORDERS = {
  oldest: (requests) => requests,
  newest: (requests) => requests.toReversed(),
  soonest: (requests) => requests.toSorted((one, other) => (one.expires_at < other.expires_at ? -1 : 1)),
};

const at = (id) => document.getElementById(id);

/** `inbox` has `open(id)`, `arrived(requests)`, `say(text)` and `live`. */
export class Pending {
  constructor(inbox) {
    this.inbox = inbox;
    this.list = new RowList(at("waiting"), (request) => new PendingRow(request), (id) => inbox.choose(id));
    this.known = null;
    this.all = [];
    this.found = null;
    this.waiting = 0;
    this.order = "oldest";
    this.heads = [...at("pending").querySelectorAll("[data-order]")];
    this.heads.forEach((head) => head.addEventListener("click", () => this.sort(head.dataset.order)));
    at("filter").addEventListener("input", () => this.typed());
    at("workspaces").addEventListener("change", () => this.typed());
  }

  get words() {
    return at("filter").value.toLowerCase().split(/\s+/u).filter(Boolean);
  }

  get workspace() {
    return at("workspaces").value;
  }

  get filtered() {
    return this.words.length > 0 || this.workspace !== "";
  }

  /** Whether the server has more than it sends. */
  get cut() {
    return this.waiting > this.all.length;
  }

  /** The list was read. `shown` is the id of the request that is shown, whose row stays if it has ended. */
  read({ pending, waiting }, shown) {
    const ids = new Set(pending.map((request) => request.id));
    if (this.known !== null) {
      this.announce(pending.filter((request) => !this.known.has(request.id)));
    }
    this.known = ids;
    this.all = pending;
    this.waiting = waiting;
    this.offerWorkspaces();
    this.show(shown);
    if (this.cut && this.filtered) {
      this.search();
    }
  }

  announce(arrived) {
    if (arrived.length > FEW) {
      this.inbox.say(`${arrived.length} new requests.`);
    } else {
      for (const request of arrived) {
        const { line, more } = firstLine(request);
        this.inbox.say(`New request from ${requesterOf(request)}: ${brief(line, more)}`);
      }
    }
    if (arrived.length > 0) {
      this.inbox.arrived(arrived);
    }
  }

  // Only where there are several.
  offerWorkspaces() {
    const found = new Map(this.all.map((request) => [request.workspace_id, request.workspace_name || request.workspace_id]));
    const chosen = this.workspace;
    if (chosen !== "" && !found.has(chosen)) {
      found.set(chosen, at("workspaces").selectedOptions[0].textContent);
    }
    const select = at("workspaces");
    at("workspaces-label").hidden = found.size < 2;
    document.body.classList.toggle("one-workspace", found.size < 2);
    const options = [["", "All workspaces"], ...[...found].sort(([, one], [, other]) => one.localeCompare(other))];
    if (select.dataset.options !== JSON.stringify(options)) {
      select.dataset.options = JSON.stringify(options);
      select.replaceChildren(...options.map(([id, name]) => Object.assign(make("option", "", name), { value: id })));
      select.value = chosen;
    }
  }

  /** Change the order; the same again goes back to the oldest first. */
  sort(order) {
    this.order = this.order === order ? "oldest" : order;
    this.heads.forEach((head) => head.setAttribute("aria-pressed", String(head.dataset.order === this.order)));
    this.show(this.list.selected);
  }

  typed() {
    this.found = null;
    this.show(this.list.selected);
    clearTimeout(this.typing);
    if (this.cut && this.filtered) {
      this.typing = setTimeout(() => this.search(), TYPED);
    }
  }

  // The page has only the oldest requests: the server looks through all of them.
  async search() {
    const [words, workspace] = [this.words, this.workspace];
    try {
      const found = await list(this.inbox.live.token, { q: words.join(" "), workspace });
      if (words.join(" ") === this.words.join(" ") && workspace === this.workspace) {
        this.found = found.pending;
        this.show(this.list.selected);
      }
    } catch {
      // The rows that are here are filtered already; the connection says what is wrong.
    }
  }

  show(shown) {
    const { words, workspace } = this;
    this.list.show(ORDERS[this.order](this.filtered ? (this.found ?? this.all) : this.all), shown);
    let matching = 0;
    for (const row of this.list.rows.values()) {
      const fits = (this.found !== null && this.filtered) || row.matches(words, workspace);
      row.node.hidden = !fits;
      matching += fits ? 1 : 0;
    }
    this.say(matching);
  }

  say(matching) {
    const none = this.filtered && matching === 0;
    at("none").hidden = !none;
    at("none").textContent = none ? "No pending request matches." : "";
    const hidden = this.waiting - this.all.length;
    at("more").hidden = !this.cut || this.filtered;
    at("more").textContent = `${hidden.toLocaleString()} more pending; they appear here once these have ended. The filter finds them now.`;
  }

  /** A request that is not in the next list any more. */
  decided() {
    this.waiting = Math.max(0, this.waiting - 1);
  }

  clear() {
    this.list.clear();
    this.known = null;
    this.all = [];
    this.found = null;
    this.waiting = 0;
    at("filter").value = "";
    at("workspaces").value = "";
  }
}
