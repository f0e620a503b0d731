// One request as one line of a list: a link to its address, with its requester and the beginning of its action.

import { firstLine } from "./command.js";
import { badge, outcomeOf } from "./outcome.js";
import { addressOf } from "./route.js";
import { looksLikeCommand, make, plain, show } from "./text.js";
import { absolute, now, shortly } from "./times.js";

const SOON = 60_000;

/** The credential's name of whoever asks; what the client claims is never shown as a name. */
export function requesterOf(request) {
  return request.requested_by || "anonymous";
}

/** The same, with what a person should know of it: a requester that was revoked redeems nothing any more. */
export function whoOf(request) {
  return request.requester_revoked ? `${requesterOf(request)} (revoked)` : requesterOf(request);
}

/** What the requester claims to run as: user@host, as far as it says so, else "". */
export function claimOf(request) {
  if (typeof request.claimed === "string") {
    return request.claimed;
  }
  const { user, host } = request.context ?? {};
  return [user, host].filter((part) => typeof part === "string" && part).join("@");
}

function write(element, text) {
  if (element.textContent !== text) {
    element.textContent = text;
  }
}

function actionOf(request) {
  const { line, more } = firstLine(request);
  const shown = make("span", looksLikeCommand(request.action) ? "row-action code" : "row-action");
  show(shown, line);
  if (more) {
    shown.append(make("span", "row-more", " …"));
  }
  return shown;
}

// The label of a number is for screen readers: the columns have headings.
function labelled(className, label) {
  const cell = make("span", className);
  const value = make("span");
  cell.append(make("span", "unseen", `, ${label} `), value);
  return { cell, value };
}

class Row {
  constructor(request) {
    this.request = request;
    this.node = make("li");
    this.link = make("a", "row");
    this.link.href = addressOf(request.id);
    this.link.dataset.id = request.id;
    const [name, claim] = [whoOf(request), claimOf(request)];
    this.who = show(make("span", "row-who"), name);
    // A narrow column may cut the name.
    this.who.title = plain(claim === "" ? name : `${name}, says it runs as ${claim}`);
    this.workspace = labelled("row-workspace", "workspace");
    const workspace = request.workspace_name || request.workspace_id;
    show(this.workspace.value, workspace);
    this.workspace.cell.title = plain(workspace);
    this.node.append(this.link);
  }

  get id() {
    return this.request.id;
  }

  /** Mark the row whose request is shown. */
  select(selected) {
    if (selected) {
      this.link.setAttribute("aria-current", "true");
    } else {
      this.link.removeAttribute("aria-current");
    }
  }
}

/** A pending request. */
export class PendingRow extends Row {
  constructor(request) {
    super(request);
    this.asked = Date.parse(request.created_at);
    this.ends = Date.parse(request.expires_at ?? "");
    this.age = labelled("row-age", "requested");
    this.left = labelled("row-left", "time left");
    this.age.cell.title = absolute(this.asked);
    this.count = make("span", "row-count");
    const action = actionOf(request);
    action.prepend(this.count);
    this.link.append(this.who, action, this.workspace.cell, this.age.cell, this.left.cell);
    const [name, claim] = [whoOf(request), claimOf(request)];
    this.words = [request.action, name, claim, request.workspace_name].join("\n").toLowerCase();
    this.update(request);
    this.tick();
  }

  /** Show how many approvals it has by now, if it needs several. */
  update({ approvals }) {
    this.count.hidden = !(approvals?.need > 1);
    if (!this.count.hidden) {
      write(this.count, `${approvals.have} of ${approvals.need}`);
      this.count.title = `${approvals.have} of ${approvals.need} approvals`;
    }
  }

  /** Whether all these words are in the row, and it is of this workspace ("": any). */
  matches(words, workspace) {
    const there = workspace === "" || this.request.workspace_id === workspace;
    return there && words.every((word) => this.words.includes(word));
  }

  /** Each second: only what has changed is written. */
  tick() {
    if (this.ended) {
      return;
    }
    write(this.age.value, shortly(now() - this.asked));
    const remaining = this.ends - now();
    const over = Number.isNaN(remaining) ? "–" : remaining > 0 ? shortly(remaining) : "over";
    write(this.left.value, over);
    this.left.cell.classList.toggle("soon", remaining < SOON);
  }

  /** Show how the request ended, until the row goes. */
  end(tone) {
    this.ended = true;
    this.link.classList.add("ended");
    this.left.cell.replaceChildren(badge(tone));
  }
}

/** An ended request. */
export class EndedRow extends Row {
  constructor(request) {
    super(request);
    const { tone, isDecided } = outcomeOf(request);
    this.at = Date.parse(request.decided_at ?? "");
    this.when = labelled("row-age", "ended");
    this.when.cell.title = Number.isNaN(this.at) ? "" : absolute(this.at);
    const by = labelled("row-by", "by");
    show(by.value, isDecided ? request.decided_by : "–");
    this.link.append(badge(tone), this.who, actionOf(request), by.cell, this.workspace.cell, this.when.cell);
    this.tick();
  }

  tick() {
    if (!Number.isNaN(this.at)) {
      write(this.when.value, shortly(now() - this.at));
    }
  }
}
