// The list of requests that ended last: how, by whom, and with which comment.

import { headline, parse } from "./command.js";
import { Fold } from "./facts.js";
import { looksLikeCommand, make, show } from "./text.js";
import { showAgo } from "./times.js";

// Outcomes without a person's decision; the refusal of a late decision has only the name.
const BY_NOBODY = {
  expired: { tone: "expired", word: "Expired", sentence: "nobody decided in time" },
  withdrawn: { tone: "withdrawn", word: "Withdrawn", sentence: "by the requester" },
};
const NAMES = { "auto-expired": "expired", withdrawn: "withdrawn" };

/** How a request ended: `{tone, word, sentence}`. */
export function outcomeOf(row) {
  const outcome = row.outcome ?? NAMES[row.decided_by] ?? row.status;
  if (outcome in BY_NOBODY) {
    return BY_NOBODY[outcome];
  }
  const [tone, word] = outcome === "approved" ? ["approved", "Approved"] : ["denied", "Denied"];
  return { tone, word, sentence: `by ${row.decided_by || "an approver"}` };
}

function verdict(row) {
  const { tone, word, sentence } = outcomeOf(row);
  const line = make("p", "verdict");
  const time = make("time", "when");
  line.append(make("strong", `word ${tone}`, word), " ", show(make("span", "by"), sentence), " ", time);
  return { line, time };
}

class Row {
  constructor(row) {
    this.node = make("li", "past");
    this.at = Date.parse(row.decided_at ?? "");
    const { line, time } = verdict(row);
    this.time = time;
    const action = make("div", "past-action");
    const isCode = parse(row.action) !== null || looksLikeCommand(row.action);
    action.append(new Fold(headline(row.action), isCode ? "code" : "prose", () => {}).node);
    this.node.append(line, action);
    if (row.comment) {
      const comment = make("div", "past-comment");
      comment.append(new Fold(row.comment, "prose", () => {}).node);
      this.node.append(comment);
    }
    this.tick();
  }

  tick() {
    if (!Number.isNaN(this.at)) {
      showAgo(this.time, this.at);
    }
  }
}

/** The list. */
export class EndedList {
  constructor(list, empty) {
    this.list = list;
    this.empty = empty;
    this.rows = new Map();
  }

  /** Show these, newest first. Existing rows are kept, with the texts that are shown in full. */
  show(ended) {
    const rows = new Map(ended.map((row) => [row.id, this.rows.get(row.id) ?? new Row(row)]));
    const nodes = [...rows.values()].map((row) => row.node);
    const changed = nodes.length !== this.list.children.length || nodes.some((node, at) => node !== this.list.children[at]);
    if (changed) {
      this.list.replaceChildren(...nodes);
    }
    this.rows = rows;
    this.empty.hidden = rows.size > 0;
  }

  tick() {
    this.rows.forEach((row) => row.tick());
  }
}
