// Signing in through the server's provider. The page keeps a random verifier in this tab's storage, sends its hash along, and
// hands the verifier over with the provider's answer: an answer to a sign-in that another browser began is worth nothing.

import { CallError, below, call } from "./session.js";

const KEY = "molecule-desk.openid";
const RETURN = "desk/openid/return";

const base64url = (bytes) =>
  btoa(String.fromCharCode(...bytes)).replaceAll("+", "-").replaceAll("/", "_").replaceAll("=", "");

/** The provider's host, or null: there is none, or the server does not say. */
export async function provider() {
  try {
    const isAnswer = ({ openid, name }) => typeof openid === "boolean" && (name === null || typeof name === "string");
    const { openid, name } = await call("GET", "/desk/sign-in", isAnswer, undefined, null);
    return openid ? name : null;
  } catch {
    return null;
  }
}

/** Leave for the provider. Throws a CallError if that cannot be. */
export async function start() {
  const verifier = base64url(crypto.getRandomValues(new Uint8Array(32)));
  const challenge = base64url(new Uint8Array(await sha256(verifier)));
  const { address } = await call("POST", "/desk/openid/start", ({ address: found }) => isWeb(found), { challenge }, null);
  try {
    sessionStorage.setItem(KEY, JSON.stringify({ verifier }));
  } catch {
    throw new CallError(0, { error: "this browser keeps nothing for this page, so a sign-in cannot come back" });
  }
  location.assign(address);
}

// Browsers have no hash functions for pages that came over a plain network.
async function sha256(text) {
  if (!crypto.subtle) {
    throw new CallError(0, { error: "this needs https://, or a page of this machine" });
  }
  return crypto.subtle.digest("SHA-256", new TextEncoder().encode(text));
}

const isWeb = (address) => typeof address === "string" && /^https?:\/\//u.test(address);

/**
 * What the provider sent back, if this is the page of return: it is taken out of the address bar and the history at once.
 * `verifier` is null if this tab began no sign-in. The page goes on at its first address, whatever the answer says.
 */
export function takeReturn() {
  if (location.href.split(/[?#]/u, 1)[0] !== below(`/${RETURN}`).href) {
    return null;
  }
  const found = new URLSearchParams(location.search);
  history.replaceState(null, "", document.baseURI);
  const [code, state, iss, error] = ["code", "state", "iss", "error"].map((name) => found.get(name));
  return { code, state, iss, error, verifier: takeVerifier() };
}

function takeVerifier() {
  try {
    const kept = sessionStorage.getItem(KEY);
    sessionStorage.removeItem(KEY);
    return JSON.parse(kept)?.verifier ?? null;
  } catch {
    return null;
  }
}

/** Exchange the provider's answer for a session `{token, name}`, which is not kept yet. Throws a CallError. */
export async function exchange({ code, state, iss, error, verifier }) {
  if (verifier === null) {
    throw new CallError(0, { error: "this tab did not begin that sign-in; sign in here" });
  }
  if (error !== null || code === null || state === null) {
    const refused = error === "access_denied" ? "you or the provider refused" : "it sent no answer that can be used";
    throw new CallError(0, { error: `the provider did not sign you in: ${refused}` });
  }
  const isSession = ({ token, name }) => typeof token === "string" && token !== "" && typeof name === "string";
  const body = { code, state, verifier, iss: iss ?? undefined };
  return call("POST", "/desk/openid/return", isSession, body, null);
}
