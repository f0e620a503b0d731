// What a request says besides its action and reason, as rows: where it comes from, its job, its context; and under Details
// its hashes, its ids and its context as JSON. Nothing is left out or cut: what is long is folded (fold.js).

import { Fold } from "./fold.js";
import { isLong, link, looksLikeCommand, make, show } from "./text.js";

// Only these values may become links: the client takes them from a CI system's own variables.
const JOB = [
  ["system", "CI system"],
  ["job", "CI job"],
  ["repository", "Repository"],
  ["ref", "Branch or tag"],
  ["commit", "Commit"],
];
const COMMIT_PAGES = { "GitHub Actions": "/commit/", GitLab: "/-/commit/" };
const HASHED = /^(?:(.*) )?(sha256:[0-9a-f]{64})$/su;
const WARNINGS = new Set(["not bound", "keeps", "drops", "remark"]);
const KNOWN = new Set(["folder", "ci", "audit_head"]);
// A UUID, a long number in hex, or an id with the prefix of its kind: nothing that a person reads.
const ID = /^(?:[0-9a-f]{8}(?:-[0-9a-f]{4}){3}-[0-9a-f]{12}|[0-9a-f]{24,128}|[a-z]{2,8}_[A-Za-z0-9]{16,64})$/u;

/** Lists of facts, with or without a heading, and the folds in them. */
export class Facts {
  constructor(opened) {
    this.node = make("div", "facts");
    this.folds = [];
    this.opened = opened;
    this.pending = null;
  }

  // Keys that the requester chose are under their own heading, so that they cannot pose as our rows. A list without rows is
  // not shown.
  section(heading, className = "") {
    this.pending = { heading, className };
  }

  begin() {
    const { heading, className } = this.pending;
    this.list = make("dl", className);
    this.node.append(...(heading ? [make("h3", "", heading)] : []), this.list);
    this.pending = null;
  }

  row(label, ...content) {
    if (this.pending) {
      this.begin();
    }
    const row = make("div", "fact");
    const value = make("dd");
    value.append(...content);
    row.append(show(make("dt"), label), value);
    this.list.append(row);
    return row;
  }

  text(label, text, className = "") {
    const fold = new Fold(text, className, this.opened);
    this.folds.push(fold);
    return this.row(label, fold.node);
  }

  address(label, text) {
    const found = link(text);
    if (found === null) {
      this.text(label, text, "code");
    } else {
      this.row(label, found);
    }
  }

  /** A text that is not folded again: it is under Details. */
  plain(label, text) {
    this.row(label, show(make("span", "words code"), text, true));
  }

  /** A row of one click: it selects all of the hash, to compare or to copy it. */
  hash(label, name, hash) {
    const shown = make("span", "hash code", hash);
    this.row(label, ...(name === "" ? [shown] : [show(make("span", "words code"), name, true), shown]));
  }
}

// A number that keeps its digits (session.js) is an object in JavaScript, but not here.
const isObject = (value) => typeof value === "object" && value !== null && !JSON.isRawJSON?.(value);
const written = (value) => (typeof value === "string" ? value : JSON.stringify(value, null, 2));

// The page of a commit, for CI systems whose address format is known, if the values are valid.
function commitPage({ system, repository, commit }) {
  const path = COMMIT_PAGES[system];
  const usable = path && typeof repository === "string" && /^[0-9a-f]{7,64}$/u.test(commit);
  return usable ? `${repository}${path}${commit}` : null;
}

/** A request's context, sorted by where it is shown. */
class Context {
  constructor(request) {
    this.all = request.context ?? {};
    const { ci } = this.all;
    this.job = isObject(ci) && !Array.isArray(ci) ? ci : null;
    const others = Object.entries(this.all).filter(([key, value]) => !this.known(key, value));
    const more = Object.entries(this.job ?? {}).filter(([key]) => JOB.every(([name]) => name !== key));
    this.entries = [...others, ...more];
  }

  known(key, value) {
    const claimed = key === "user" || key === "host";
    return claimed ? typeof value === "string" : KNOWN.has(key) && (key !== "ci" || this.job !== null);
  }

  /** Whether some of it is only in the JSON under Details. */
  get isNested() {
    return this.entries.some(([, value]) => isObject(value));
  }

  get ids() {
    return this.entries.filter(([, value]) => typeof value === "string" && ID.test(value));
  }

  get shown() {
    return this.entries.filter(([, value]) => !(typeof value === "string" && ID.test(value)));
  }
}

function addJob(facts, job) {
  for (const [key, label] of JOB.filter(([name]) => name in job)) {
    const text = written(job[key]);
    if (key === "system" || key === "ref") {
      facts.text(label, text);
    } else {
      facts.address(label, (key === "commit" && commitPage(job)) || text);
    }
  }
}

function addContext(facts, context) {
  facts.section("Context", "context");
  for (const [key, value] of context.shown) {
    if (isObject(value)) {
      facts.row(key, make("span", "elsewhere", "in Details"));
    } else {
      const text = written(value);
      facts.text(key, text, typeof value !== "string" || looksLikeCommand(text) ? "code" : "");
    }
  }
}

/** What a person reads of a request besides action and reason; `stated` is what is bound with a command. */
export function factsOf(request, stated, opened) {
  const facts = new Facts(opened);
  const context = new Context(request);
  facts.section("");
  facts.text("Workspace", request.workspace_name || request.workspace_id);
  const isStated = stated.some(([label, text]) => label === "folder" && text === context.all.folder);
  if ("folder" in context.all && !isStated) {
    facts.text("Folder", written(context.all.folder), "code");
  }
  addJob(facts, context.job ?? {});
  addContext(facts, context);
  return facts;
}

/** What is bound with a command, as its requester says, without the hashes. */
export function boundFacts(stated, opened) {
  const facts = new Facts(opened);
  facts.section("");
  for (const [label, text] of stated) {
    const [, name] = HASHED.exec(text) ?? [null, text];
    if (name !== undefined) {
      facts.text(label, name, "code").classList.toggle("warning", WARNINGS.has(label));
    }
  }
  return facts;
}

function addNumbers(facts, request, context) {
  facts.section("", "ids");
  facts.plain("Request", request.id);
  facts.plain("Workspace", request.workspace_id);
  if (request.task_id) {
    facts.plain("Task", request.task_id);
  }
  if ("audit_head" in context.all) {
    facts.plain("Audit log", auditHead(context.all.audit_head));
  }
  facts.section("Ids from the context", "context");
  context.ids.forEach(([key, value]) => facts.plain(key, value));
}

function auditHead(head) {
  const { log_id: log, seq, hash, file = "", ...others } = isObject(head) ? head : {};
  const isText = (value) => typeof value === "string" || typeof value === "number";
  const usual = Object.keys(others).length === 0 && [log, seq, hash, file].every(isText);
  return usual ? `${log} ${seq} ${hash} ${file}`.trim() : written(head);
}

/** Hashes, ids, and the context as JSON; `must` says that some of the context is shown only here. */
export function detailsOf(request, stated, opened) {
  const facts = new Facts(opened);
  const context = new Context(request);
  facts.section("Hashes", "hashes");
  for (const [label, text] of stated) {
    const [, name, hash] = HASHED.exec(text) ?? [];
    if (hash !== undefined) {
      facts.hash(label, name ?? "", hash);
    }
  }
  addNumbers(facts, request, context);
  if (Object.keys(context.all).length > 0) {
    facts.section("Context as JSON", "raw");
    facts.plain("JSON", written(context.all));
  }
  const must = context.isNested || isLong(auditHead(context.all.audit_head ?? ""));
  return { node: facts.node, must };
}
