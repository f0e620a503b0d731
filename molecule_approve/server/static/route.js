// The page's own addresses, below the base that the document names: /, /requests/ID, /history and /sessions.
// An address from elsewhere selects one of these views and a request; it never leads to another page.

const ID = /^[A-Za-z0-9][A-Za-z0-9._~-]{0,127}$/u;
const WANTED = "molecule-desk.wanted";
const WANTED_FOR = 10 * 60_000;

/** Whether this can be a request's id. */
export const isId = (text) => typeof text === "string" && ID.test(text);

/** The absolute address of a request, to be sent to others. */
export function addressOf(id) {
  return new URL(`requests/${encodeURIComponent(id)}`, document.baseURI).href;
}

/** What the address bar names: `{view, id}`. A request that was opened from the history keeps that view. */
export function here() {
  const base = new URL(document.baseURI).pathname;
  const [first, second, ...rest] = location.pathname.slice(base.length).split("/");
  if (first === "requests" && rest.length === 0 && isId(second)) {
    return { view: history.state?.from === "history" ? "history" : "inbox", id: second };
  }
  const known = second === undefined && ["history", "sessions"].includes(first);
  return { view: known ? first : "inbox", id: null };
}

/** Whether the address bar names the page's first address. */
export const isStart = () => location.pathname === new URL(document.baseURI).pathname;

/** Change the address bar to this address, relative to the base; `replace` adds no step to go back to. */
export function go(address, { replace = false, from = null } = {}) {
  const { href } = new URL(address, document.baseURI);
  if (href !== location.href || history.state?.from !== (from ?? undefined)) {
    history[replace ? "replaceState" : "pushState"](from ? { from } : null, "", href);
  }
}

/** Remember the request of the address bar for whoever signs in next: a sign-in link opens the page's first address. */
export function remember() {
  const { id } = here();
  if (id !== null) {
    try {
      localStorage.setItem(WANTED, JSON.stringify({ id, at: Date.now() }));
    } catch {
      // Then the person opens the link again.
    }
  }
  return id;
}

/** The request that was remembered in the last ten minutes, once; null if there is none. */
export function wanted() {
  try {
    const { id, at } = JSON.parse(localStorage.getItem(WANTED) ?? "{}");
    localStorage.removeItem(WANTED);
    return isId(id) && Math.abs(Date.now() - at) < WANTED_FOR ? id : null;
  } catch {
    return null;
  }
}
