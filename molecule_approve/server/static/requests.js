// What the page asks the server about requests: the list, one request, the history, and a decision. The session is in
// session.js.

import { call } from "./session.js";

const isRow = (row) => typeof row?.id === "string" && typeof row.action === "string";
const isList = ({ name, now, waiting, pending }) =>
  typeof name === "string" && typeof now === "string" && Number.isInteger(waiting) && Array.isArray(pending) && pending.every(isRow);
const isPage = ({ ended, next }) => Array.isArray(ended) && ended.every(isRow) && (next === null || typeof next === "string");

function query(path, values) {
  const given = Object.entries(values).filter(([, value]) => value);
  return given.length > 0 ? `${path}?${new URLSearchParams(given)}` : path;
}

/** The pending requests, oldest first, one line each; `waiting` counts all of them. */
export function list(token, filter = {}) {
  return call("GET", query("/desk/list", filter), isList, undefined, token);
}

/** One request in full, also an ended one. */
export function one(id, token) {
  const isOne = (found) => isRow(found) && found.id === id && typeof found.outcome === "string";
  return call("GET", `/desk/requests/${encodeURIComponent(id)}`, isOne, undefined, token);
}

/** A page of ended requests, latest first; `next` is the cursor of the page after it. */
export function past(search, token) {
  return call("GET", query("/desk/history", search), isPage, undefined, token);
}

const pathOf = ({ workspace_id: workspace, id }, verb) =>
  `/workspaces/${encodeURIComponent(workspace)}/approvals/${encodeURIComponent(id)}/${verb}`;
const isCounted = ({ status, approvals }) =>
  status === "pending" && Number.isInteger(approvals?.have) && Number.isInteger(approvals.need);

/**
 * Decide a request. It succeeds only if the answer names this request, and this decision; or says that the approval counts,
 * and others are needed. `signed` has its statement and proof, or is null.
 */
export function decide(request, decision, comment, signed, token) {
  const counts = (found) => found.status === decision || (decision === "approved" && isCounted(found));
  const done = (found) => found.approval_id === request.id && counts(found);
  return call("POST", pathOf(request, "decide"), done, { decision, comment: comment || undefined, ...signed }, token);
}

/** Retract the own approval of a request that waits for others. */
export function retract(request, token) {
  const done = (found) => found.approval_id === request.id && isCounted(found);
  return call("POST", pathOf(request, "retract"), done, undefined, token);
}
