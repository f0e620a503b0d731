// The details of a request as rows of a list: requester, host, job, commit, and all of its context.
// Nothing is left out or cut: a long text is folded, and the fold remembers whether it was shown in full.

import { isLong, link, looksLikeCommand, make, show } from "./text.js";

const ORIGIN = [
  ["user", "Requester"],
  ["host", "Host"],
  ["folder", "Folder"],
];
// Only these values may become links: the client takes them from a CI system's own variables.
const JOB = [
  ["system", "CI system"],
  ["job", "CI job"],
  ["repository", "Repository"],
  ["commit", "Commit"],
];
const COMMIT_PAGES = { "GitHub Actions": "/commit/", GitLab: "/-/commit/" };
const HASHED = /^(?:(.*) )?(sha256:[0-9a-f]{64})$/su;
const WARNINGS = new Set(["not bound", "keeps", "drops", "remark"]);
const KNOWN = ["user", "host", "folder", "ci", "audit_head"];

/** A text in full, behind a button if it is long. `opened` is called each time it is shown or folded. */
export class Fold {
  constructor(text, className, opened) {
    this.seen = !isLong(text);
    this.body = show(make("span", `words ${className}`), text, true);
    this.node = make("span", "fold");
    this.node.append(this.body);
    if (!this.seen) {
      this.close(text, opened);
    }
  }

  close(text, opened) {
    const lines = text.split("\n").length;
    const size = `${text.length.toLocaleString()} characters, ${lines.toLocaleString()} ${lines === 1 ? "line" : "lines"}`;
    const button = make("button", "unfold");
    button.type = "button";
    this.node.append(button);
    const turn = (open) => {
      this.node.classList.toggle("folded", !open);
      button.setAttribute("aria-expanded", String(open));
      button.textContent = open ? "Show less" : `Show all (${size})`;
    };
    button.addEventListener("click", () => {
      const open = button.getAttribute("aria-expanded") !== "true";
      this.seen = true;
      turn(open);
      opened();
    });
    this.button = button;
    turn(false);
  }
}

/** Lists of facts, with or without a heading, and the folds in them. */
class Facts {
  constructor(opened) {
    this.node = make("div", "facts");
    this.folds = [];
    this.opened = opened;
  }

  // Keys that the requester chose are under their own heading, so that they cannot pose as our rows.
  section(heading, className = "") {
    this.list = make("dl", className);
    if (heading) {
      this.node.append(make("h4", "", heading));
    }
    this.node.append(this.list);
  }

  row(label, content) {
    const row = make("div", "fact");
    const value = make("dd");
    value.append(content);
    row.append(show(make("dt"), label), value);
    this.list.append(row);
  }

  text(label, text, className = "") {
    const fold = new Fold(text, className, this.opened);
    this.folds.push(fold);
    this.row(label, fold.node);
  }

  address(label, text) {
    const found = isLong(text) ? null : link(text);
    if (found === null) {
      this.text(label, text, "code");
    } else {
      this.row(label, found);
    }
  }

  // A hash has a line of its own; a digest is nothing else.
  bound(label, text) {
    const [, name, hash] = HASHED.exec(text) ?? [null, text];
    if (name === undefined) {
      this.row(label, make("span", "hash code", hash));
    } else {
      this.text(label, name, "code");
    }
    const row = this.list.lastElementChild;
    row.classList.toggle("warning", WARNINGS.has(label));
    if (name !== undefined && hash !== undefined) {
      row.lastElementChild.append(make("span", "hash code", hash));
    }
  }

  rest(values, known) {
    for (const [key, value] of Object.entries(values).filter(([name]) => !known.includes(name))) {
      const text = written(value);
      this.text(key, text, typeof value !== "string" || looksLikeCommand(text) ? "code" : "");
    }
  }
}

// A number that keeps its digits (session.js) is an object in JavaScript, but not here.
const isObject = (value) => typeof value === "object" && value !== null && !Array.isArray(value) && !JSON.isRawJSON?.(value);
const written = (value) => (typeof value === "string" ? value : JSON.stringify(value, null, 2));
const names = (table) => table.map(([name]) => name);

function addOrigin(facts, request, context) {
  facts.section("");
  for (const [key, label] of ORIGIN.filter(([name]) => name in context)) {
    facts.text(label, written(context[key]), key === "user" ? "" : "code");
  }
  facts.text("Workspace", request.workspace_name || request.workspace_id);
}

// The page of a commit, for CI systems whose address format is known, if the values are valid.
function commitPage({ system, repository, commit }) {
  const path = COMMIT_PAGES[system];
  const usable = path && typeof repository === "string" && /^[0-9a-f]{7,64}$/u.test(commit);
  return usable ? `${repository}${path}${commit}` : null;
}

function addJob(facts, job) {
  for (const [key, label] of JOB.filter(([name]) => name in job)) {
    const text = written(job[key]);
    if (key === "system") {
      facts.text(label, text);
    } else {
      facts.address(label, (key === "commit" && commitPage(job)) || text);
    }
  }
}

function addOthers(facts, context, job) {
  const others = Object.keys(context).some((key) => !KNOWN.includes(key)) || (context.ci && job === null);
  const more = job !== null && Object.keys(job).some((key) => !names(JOB).includes(key));
  if (others || more) {
    facts.section("Other context", "context");
    facts.rest(context, job === null ? KNOWN.filter((key) => key !== "ci") : KNOWN);
    facts.rest(job ?? {}, names(JOB));
  }
}

function addNumbers(facts, request, context) {
  facts.section("", "numbers");
  if ("audit_head" in context) {
    const { log_id: log, seq, hash, file = "", ...others } = isObject(context.audit_head) ? context.audit_head : {};
    const isText = (value) => typeof value === "string" || typeof value === "number";
    const usual = Object.keys(others).length === 0 && [log, seq, hash, file].every(isText);
    facts.text("Audit log", usual ? `${log} ${seq} ${hash} ${file}`.trim() : written(context.audit_head), "code");
  }
  facts.text("Request", request.id, "code");
}

/** All details of this request: `{node, folds}`. */
export function factsOf(request, opened) {
  const facts = new Facts(opened);
  const context = request.context ?? {};
  const job = isObject(context.ci) ? context.ci : null;
  addOrigin(facts, request, context);
  addJob(facts, job ?? {});
  addOthers(facts, context, job);
  addNumbers(facts, request, context);
  return facts;
}

/** What is bound with a command, as its requester says: `{node, folds}`. */
export function boundFacts(stated, opened) {
  const facts = new Facts(opened);
  facts.section("");
  stated.forEach(([label, text]) => facts.bound(label, text));
  return facts;
}

/** The requester in one short line: user@host, as far as the request has them. */
export function requesterOf(request) {
  const { user, host } = request.context ?? {};
  const parts = [user, host].filter((part) => typeof part === "string" && part);
  return parts.join("@") || request.workspace_name || "unknown requester";
}
