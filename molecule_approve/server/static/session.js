// The session of the approver, how a sign-in link becomes one, and calls made with it.
// It is kept in local storage, never in a cookie: cookies ignore ports, so any other local web server would get them.

const KEY = "molecule-desk.session";
const PATIENCE = 10_000;

/** A call that was refused, or not answered (status 0). `fromServer` says that the server itself refused it. */
export class CallError extends Error {
  constructor(status, body, retryAfter = 0) {
    super(typeof body.error === "string" ? body.error : "the server gave no reason");
    this.status = status;
    this.fromServer = status !== 0 && typeof body.error === "string";
    this.body = body;
    this.retryAfter = retryAfter;
  }
}

// Without storage the session lasts as long as the page.
let unstored = null;

/** The session, or null. */
export function current() {
  try {
    return localStorage.getItem(KEY);
  } catch {
    return unstored;
  }
}

function keep(token) {
  unstored = token;
  try {
    if (token === null) {
      localStorage.removeItem(KEY);
    } else {
      localStorage.setItem(KEY, token);
    }
  } catch {
    // Then only this page has it.
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

// A number beyond 2^53 would be rounded, so that another number is shown than is approved: its digits are kept.
// Browsers that do not give a number's source (before 2025) show a note instead.
function exact(_key, value, context) {
  const lossy = Number.isInteger(value) ? !Number.isSafeInteger(value) : typeof value === "number" && !Number.isFinite(value);
  if (!lossy) {
    return value;
  }
  const canSay = typeof context?.source === "string" && JSON.rawJSON;
  return canSay ? JSON.rawJSON(context.source) : `about ${value} (this browser cannot show it exactly)`;
}

// The body of an answer; empty if it is not a JSON object.
function read(text) {
  try {
    const found = JSON.parse(text, exact);
    return typeof found === "object" && found !== null ? found : {};
  } catch {
    return {};
  }
}

/** The address of one of the server's paths, also where a proxy serves all of it below a path of its own. */
export function below(path) {
  return new URL(path.slice(1), document.baseURI);
}

async function send(method, path, token, body) {
  const headers = body === undefined ? {} : { "Content-Type": "application/json" };
  if (token) {
    headers.Authorization = `Bearer ${token}`;
  }
  const signal = AbortSignal.timeout(PATIENCE);
  try {
    // The server never redirects; a captive portal might.
    const how = { method, headers, body: JSON.stringify(body), signal, cache: "no-store", redirect: "error" };
    const reply = await fetch(below(path), how);
    return { reply, found: read(await reply.text()) };
  } catch {
    throw new CallError(0, { error: "the server did not answer" });
  }
}

/**
 * One call, with the session. `means(found)` checks that a success is an answer to this call: a portal or a proxy can
 * answer too. Throws a CallError for everything else, with status 0 if the answer is not from the server.
 */
export async function call(method, path, means, body, token = current()) {
  const { reply, found } = await send(method, path, token, body);
  if (!reply.ok) {
    throw new CallError(reply.status, found, Number(reply.headers.get("Retry-After")) || 0);
  }
  if (!means(found)) {
    throw new CallError(0, { error: "the answer is not from the server" });
  }
  return found;
}

/** Whether the server answers. Without the session, so that this does not keep it alive. */
export async function answers() {
  try {
    await call("GET", "/health", ({ status }) => status === "ok", undefined, null);
    return true;
  } catch (failure) {
    return failure.status !== 0;
  }
}

/** The codes of a sign-in link and of one for a passkey, each or null; they leave the address bar and the history at once. */
export function takeCodes() {
  const found = new URLSearchParams(location.hash.slice(1));
  if (location.hash) {
    history.replaceState(history.state, "", location.pathname + location.search);
  }
  return { code: found.get("sign-in"), enrolment: found.get("enrol") };
}

/** The name of the person who is signed in, or null. Throws a CallError if that cannot be read. */
export async function signedInName() {
  if (current() === null) {
    return null;
  }
  try {
    return (await call("GET", "/desk/list", ({ name }) => typeof name === "string")).name;
  } catch (failure) {
    if (failure.fromServer && (failure.status === 401 || failure.status === 403)) {
      return null;
    }
    throw failure;
  }
}

/** Exchange a `{code}` or a `{token}` for a session `{token, name}`, which is not kept yet: `take` it or `end` it. */
export function exchange(secret) {
  const isSession = ({ token, name }) => typeof token === "string" && token !== "" && typeof name === "string";
  return call("POST", "/desk/session", isSession, secret, null);
}

/** Use this session; the one before it ends. */
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

/** End a session; whether the server confirms it, or does not know it any more. Otherwise it expires by itself. */
export async function end(token) {
  try {
    await call("POST", "/desk/session/end", ({ status }) => status === "ended", {}, token);
    return true;
  } catch (failure) {
    return failure.fromServer && failure.status === 401;
  }
}
