// A command, as `run` and `request --for` ask for it: one line, then a line for each fact that is bound, then the digest.
// The form is that of molecule_approve/gate/command.py (parse); a test compares the two. Any requester can write it.

import { isHidden } from "./text.js";

const LABELS = new Set([
  "program", "interpreter", "file", "not bound", "folder", "host", "user", "keeps", "drops", "remark", "digest",
]);
const DIGEST = /^sha256:[0-9a-f]{64}$/u;

function factOf(line) {
  const at = line.indexOf(": ");
  return at < 0 ? [line, ""] : [line.slice(0, at), line.slice(at + 2)];
}

/** The parts of an action, `{line, facts}`; null if it is not of this form. */
export function parse(action) {
  const [line, ...rest] = action.split("\n");
  const facts = rest.map(factOf);
  const [label, digest] = facts.at(-1) ?? [];
  const known = facts.every(([name]) => LABELS.has(name)) && facts[0]?.[0] === "program";
  const complete = known && label === "digest" && DIGEST.test(digest);
  return complete && ![...line].some(isHidden) ? { line, facts } : null;
}

/** What an announcement or a notification shows of an action: of a command the command alone. */
export function headline(action) {
  return parse(action)?.line ?? action;
}

/**
 * The first line of a list's row, whose action may be cut: `{line, more}`. `more` says that there are other lines than a
 * command's facts, or that the line goes on.
 */
export function firstLine({ action, action_length: length = action.length }) {
  const [line, next] = action.split("\n", 2);
  const isCommand = next?.startsWith("program: ") ?? false;
  return { line, more: !isCommand && length > line.length };
}
