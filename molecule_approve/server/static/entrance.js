// Who is signed in: follows sign-in links, asks before another person is signed in, and signs out. The session is in
// session.js, the view in sign-in.js.

import { Enrolment } from "./enrolment.js";
import * as openid from "./openid.js";
import { remember } from "./route.js";
import * as session from "./session.js";
import { SignIn } from "./sign-in.js";

const at = (id) => document.getElementById(id);

/** `inbox` has `enter()`, `leave()` and `live`. */
export class Entrance {
  constructor(inbox) {
    this.inbox = inbox;
    this.offer = null;
    this.view = new SignIn(this);
    this.enrolment = new Enrolment(this);
    session.onOtherTab(() => this.open());
    addEventListener("hashchange", () => this.open());
  }

  /** Show the inbox or the sign-in view, depending on the session and the address bar. */
  async open() {
    this.decline();
    const back = openid.takeReturn();
    const { code, enrolment } = session.takeCodes();
    if (enrolment !== null) {
      await this.enrolment.show(enrolment);
    } else if (back !== null) {
      await this.signIn(() => openid.exchange(back), refusal);
    } else if (code !== null) {
      await this.signIn(() => session.exchange({ code }), refusalOfLink);
    } else if (session.current() === null) {
      this.leave("");
    } else if (this.inbox.live?.token !== session.current()) {
      this.inbox.enter();
    }
  }

  /** Sign in the person whose session `exchange()` gives; `refused(failure)` is the sentence if it gives none. */
  async signIn(exchange, refused) {
    this.leave("Signing in…");
    const before = session.current();
    try {
      const here = await session.signedInName();
      this.admit(before, here, await exchange());
    } catch (failure) {
      this.leave(refused(failure), session.current() !== null);
    }
  }

  /** Sign in with an approver's token. */
  byToken(token) {
    return this.signIn(() => session.exchange({ token }), refusalOfToken);
  }

  /** A sign-in or the view of one's sessions failed. */
  failed(failure) {
    if (this.inbox.live === null) {
      this.leave(refusal(failure), session.current() !== null);
    } else {
      this.inbox.live.failed(failure);
    }
  }

  // A link from somebody else must not put another name under the decisions of the person who is signed in.
  admit(before, here, offer) {
    this.decline();
    if (session.current() !== before) {
      // Another tab signed in meanwhile: the question would name the wrong person.
      session.end(offer.token);
      this.back();
    } else if (here === null || here === offer.name) {
      this.use(offer.token);
    } else {
      this.offer = offer.token;
      this.view.ask(here, offer.name);
    }
  }

  /** Show the panel that enrols a passkey; whoever is signed in stays so. */
  showEnrolment() {
    this.inbox.leave();
    this.view.enrol();
  }

  /** End a session that was offered but not used; nobody else knows it. */
  decline() {
    if (this.offer !== null) {
      session.end(this.offer);
      this.offer = null;
    }
  }

  /** Stay signed in as before; the other session ends. */
  back() {
    this.leave("");
    this.open();
  }

  /** Sign in the other person. */
  change() {
    const token = this.offer;
    this.offer = null;
    this.use(token);
  }

  use(token) {
    session.take(token);
    this.inbox.enter();
  }

  /** Show the sign-in view, and why; `signedIn` says that there is a session to go back to. */
  leave(sentence, signedIn = false) {
    this.inbox.leave();
    // A sign-in link opens the page's first address: the request that was asked for comes after it.
    at("wanted").hidden = remember() === null;
    this.view.show(sentence, signedIn);
  }

  async signOut() {
    const ending = session.signOut();
    this.leave("You are signed out.");
    at("sign-in-heading").focus();
    if (!(await ending) && this.inbox.live === null) {
      this.leave("You are signed out in this browser. The server did not confirm it; there the session ends within an hour.");
    }
  }
}

function refusal(failure) {
  if (failure.status === 429) {
    return `Too many attempts. Wait ${failure.retryAfter || 60} s.`;
  }
  return `Sign-in failed: ${failure.message}.`;
}

function refusalOfLink(failure) {
  if (failure.status === 401) {
    return "This sign-in link was already used, or is older than a minute. Make a new one.";
  }
  const silent = failure.status === 0;
  return silent ? "The server does not answer. Start it, then make a new link." : `${refusal(failure)} Then make a new link.`;
}

function refusalOfToken(failure) {
  if (failure.status === 401) {
    return "This is not the token of an approver here, or it was revoked.";
  }
  return failure.status === 0 ? "The server does not answer. Start it, then try again." : refusal(failure);
}
