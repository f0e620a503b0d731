// Who sits here: the session that stands for an approver, how a sign-in link becomes one, and calls made with it.
// It lies in the local storage of this exact origin, never in a cookie: cookies ignore ports, and any other local web
// server would get them.

const KEY = "molecule-desk.session";
const PATIENCE = 10_000;

/** A call that was answered with a refusal, or not at all (status 0). `told` is whether the server itself refused it. */
export class CallError extends Error {
  constructor(status, body, retryAfter = 0) {
    super(typeof body.error === "string" ? body.error : "the server gave no reason");
    this.status = status;
    this.told = status !== 0 && typeof body.error === "string";
    this.body = body;
    this.retryAfter = retryAfter;
  }
}

// Where storage is forbidden the session lives as long as the page.
let held = null;

/** The session, or null. */
export function current() {
  try {
    return localStorage.getItem(KEY);
  } catch {
    return held;
  }
}

function keep(token) {
  held = token;
  try {
    if (token === null) {
      localStorage.removeItem(KEY);
    } else {
      localStorage.setItem(KEY, token);
    }
  } catch {
    // It is held by the page alone.
  }
}

/** Forget the session, if it is still the one that was refused: another tab may have signed in meanwhile. */
export function forget(token) {
  if (current() === token) {
    keep(null);
  }
}

/** Call `changed` when another tab signs in or out. */
export function onOtherTab(changed) {
  addEventListener("storage", (event) => {
    if (event.key === KEY || event.key === null) {
      changed();
    }
  });
}

// A number beyond 2^53 would be shown rounded, which is another number than the one that is approved: its digits stay.
// Browsers that do not tell a number's source (before 2025) say so in its place.
function exact(_key, value, context) {
  const lossy = Number.isInteger(value) ? !Number.isSafeInteger(value) : typeof value === "number" && !Number.isFinite(value);
  if (!lossy) {
    return value;
  }
  const canSay = typeof context?.source === "string" && JSON.rawJSON;
  return canSay ? JSON.rawJSON(context.source) : `about ${value} (this browser cannot show it exactly)`;
}

// The body of an answer; what is no JSON object tells nothing.
function read(text) {
  try {
    const found = JSON.parse(text, exact);
    return typeof found === "object" && found !== null ? found : {};
  } catch {
    return {};
  }
}

async function send(method, path, token, body) {
  const headers = body === undefined ? {} : { "Content-Type": "application/json" };
  if (token) {
    headers.Authorization = `Bearer ${token}`;
  }
  const signal = AbortSignal.timeout(PATIENCE);
  try {
    // The server sends nobody elsewhere; a portal that does has not answered.
    const how = { method, headers, body: JSON.stringify(body), signal, cache: "no-store", redirect: "error" };
    const reply = await fetch(path, how);
    return { reply, found: read(await reply.text()) };
  } catch {
    throw new CallError(0, { error: "no answer came" });
  }
}

/**
 * One call, with the session. `means(found)` says whether a success is what was asked for: what stands between, a portal
 * or a proxy, can answer too. Throws a CallError for everything else, with status 0 where no answer of the server came.
 */
export async function call(method, path, means, body, token = current()) {
  const { reply, found } = await send(method, path, token, body);
  if (!reply.ok) {
    throw new CallError(reply.status, found, Number(reply.headers.get("Retry-After")) || 0);
  }
  if (!means(found)) {
    throw new CallError(0, { error: "the answer that came is not the server's" });
  }
  return found;
}

const isDesk = ({ name, now, waiting, pending, decided }) =>
  typeof name === "string" && typeof now === "string" && Number.isInteger(waiting) && [pending, decided].every(Array.isArray);

/** What waits and what was decided lately. */
export function desk(token = current()) {
  return call("GET", "/desk/requests", isDesk, undefined, token);
}

/** Decide a request. It is done only if the server says that this request is now what was asked for. */
export function decide({ workspace_id: workspace, id }, decision, comment, token) {
  const path = `/workspaces/${encodeURIComponent(workspace)}/approvals/${encodeURIComponent(id)}/decide`;
  const done = (found) => found.approval_id === id && found.status === decision;
  return call("POST", path, done, { decision, comment: comment || undefined }, token);
}

/** Whether somebody answers at all; it uses no session, so that it keeps none alive. */
export async function answers() {
  try {
    await call("GET", "/health", ({ status }) => status === "ok", undefined, null);
    return true;
  } catch (failure) {
    return failure.status !== 0;
  }
}

/** The code of the sign-in link, if the page was opened by one; it leaves the address bar and the history at once. */
export function takeCode() {
  const found = new URLSearchParams(location.hash.slice(1)).get("sign-in");
  if (location.hash) {
    history.replaceState(null, "", location.pathname);
  }
  return found;
}

/** The name of who is signed in in this browser, or null. Throws a CallError where that cannot be found out. */
export async function whoIsHere() {
  if (current() === null) {
    return null;
  }
  try {
    return (await desk()).name;
  } catch (failure) {
    if (failure.told && (failure.status === 401 || failure.status === 403)) {
      return null;
    }
    throw failure;
  }
}

/** Exchange the code for a session, which is not kept: `take` it or `end` it. It has `token`, and the `name` it stands for. */
export function exchange(code) {
  const isSession = ({ token, name }) => typeof token === "string" && token !== "" && typeof name === "string";
  return call("POST", "/desk/session", isSession, { code }, null);
}

/** Sit here with this session; the one that was here before ends. */
export async function take(token) {
  const before = current();
  keep(token);
  if (before !== null) {
    await end(before);
  }
}

/** Sign out, here and in the other tabs; whether the session ended at the server too. */
export function signOut() {
  const token = current();
  keep(null);
  return end(token);
}

/** End a session; whether the server says so, or knows it no more. Without that it ends by itself, with the server or in time. */
export async function end(token) {
  try {
    await call("POST", "/desk/session/end", ({ status }) => status === "ended", {}, token);
    return true;
  } catch (failure) {
    return failure.told && failure.status === 401;
  }
}
