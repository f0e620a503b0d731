// Announcements for screen readers, the count in title and icon, and desktop notifications.

import { firstLine } from "./command.js";
import { requesterOf } from "./row.js";
import { brief, plain } from "./text.js";

const NAME = document.title;
const LINES = 6;
// More requests at once are one notification.
const FEW = 3;
const NOTIFY = "molecule-desk.notify";

/** Announce a sentence to screen readers. Each is added as a line of its own, so that none replaces another. */
export function say(sentence) {
  const region = document.getElementById("announcements");
  const line = document.createElement("p");
  line.textContent = plain(sentence);
  region.append(line);
  while (region.children.length > LINES) {
    region.firstElementChild.remove();
  }
}

function icon(count) {
  const shown = count > 99 ? "99" : String(count);
  const badge =
    count > 0
      ? `<circle cx="21" cy="21" r="11" fill="#c4320a"/><text x="21" y="25.4" font-size="12.5" font-weight="700" ` +
        `font-family="sans-serif" text-anchor="middle" fill="#fff">${shown}</text>`
      : "";
  const svg =
    `<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 32 32"><rect width="32" height="32" rx="8" fill="#31497a"/>` +
    `<path d="m9 16.5 5 5 9.5-11" fill="none" stroke="#fff" stroke-width="3.4" stroke-linecap="round" ` +
    `stroke-linejoin="round"/>${badge}</svg>`;
  return `data:image/svg+xml,${encodeURIComponent(svg)}`;
}

/** Show the number of pending requests in title and icon. */
export function count(waiting) {
  const title = waiting > 0 ? `(${waiting}) ${NAME}` : NAME;
  if (document.title !== title) {
    document.title = title;
    document.querySelector("link[rel=icon]").href = icon(waiting);
  }
}

/** The button that turns notifications on, and the notifications. `chosen(id)` is called when one is clicked. */
export class Notices {
  constructor(button, chosen) {
    this.button = button;
    this.chosen = chosen;
    this.button.hidden = !("Notification" in globalThis);
    this.button.addEventListener("click", () => this.turn());
    this.show();
  }

  get on() {
    try {
      return Notification.permission === "granted" && localStorage.getItem(NOTIFY) === "on";
    } catch {
      return false;
    }
  }

  // The browser asks for permission only after this button.
  async turn() {
    const on = !this.on && (await Notification.requestPermission()) === "granted";
    try {
      localStorage.setItem(NOTIFY, on ? "on" : "off");
    } catch {
      // Without storage there are no notifications.
    }
    this.show();
    if (Notification.permission === "denied") {
      say("The browser blocks notifications from this page.");
    }
  }

  show() {
    if (this.button.hidden) {
      return;
    }
    const blocked = Notification.permission === "denied";
    this.button.setAttribute("aria-pressed", String(this.on));
    this.button.querySelector(".label").textContent = blocked ? "Notifications blocked" : "Notify me";
    this.button.title = blocked
      ? "The browser blocks notifications from this page; allow them in its site settings."
      : "Show a desktop notification for a new request while this page is in the background.";
  }

  /** Notify, if that is on and the page has no focus. Nothing can be decided in a notification. */
  arrived(requests) {
    if (!this.on || document.hasFocus()) {
      return;
    }
    if (requests.length > FEW) {
      this.notify(`${requests.length} new approval requests`, "", null);
      return;
    }
    for (const request of requests) {
      const { line, more } = firstLine(request);
      this.notify("New approval request", plain(`${requesterOf(request)}: ${brief(line, more)}`), request.id);
    }
  }

  /** Notify that there will be no more notifications. */
  signedOut() {
    if (this.on && !document.hasFocus()) {
      this.notify("You are signed out", "You get no notifications until you sign in again.", null);
    }
  }

  // `id` is the request that a click shows, or null.
  notify(title, body, id) {
    try {
      const notice = new Notification(title, { body, tag: id ?? title, icon: icon(0) });
      notice.addEventListener("click", () => {
        window.focus();
        if (id !== null) {
          this.chosen(id);
        }
        notice.close();
      });
    } catch {
      // Phones want a service worker for it.
    }
  }
}
