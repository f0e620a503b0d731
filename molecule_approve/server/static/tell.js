// How the page is noticed: announcements for screen readers, the title, the icon, and notifications of the desktop.

import { asker } from "./facts.js";
import { brief, plain } from "./text.js";

const NAME = document.title;
const KEPT = 6;
const NOTIFY = "molecule-desk.notify";

/** Say something politely to who listens instead of looking. Each sentence is an addition, so that none swallows another. */
export function say(sentence) {
  const region = document.getElementById("announcements");
  const line = document.createElement("p");
  line.textContent = plain(sentence);
  region.append(line);
  while (region.children.length > KEPT) {
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

/** Let title and icon count what waits. */
export function count(waiting) {
  const title = waiting > 0 ? `(${waiting}) ${NAME}` : NAME;
  if (document.title !== title) {
    document.title = title;
    document.querySelector("link[rel=icon]").href = icon(waiting);
  }
}

/** The button that asks for leave to notify, and the notifications. `chosen(id)` is called when one is clicked. */
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

  // The browser's own question comes only after this button.
  async turn() {
    const on = !this.on && (await Notification.requestPermission()) === "granted";
    try {
      localStorage.setItem(NOTIFY, on ? "on" : "off");
    } catch {
      // Without storage there are no notifications.
    }
    this.show();
    if (Notification.permission === "denied") {
      say("The browser blocks notifications of this page.");
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
      ? "The browser blocks notifications of this page; its site settings can allow them."
      : "Show a notification of the desktop when a request arrives and this page is not in front.";
  }

  /** Notify, if that was allowed and nobody looks. It is a hint to come here: nothing can be decided in it. */
  arrived(request) {
    if (this.on && !document.hasFocus()) {
      this.notify("A request waits for you", plain(`${asker(request)}: ${brief(request.action)}`), request.id);
    }
  }

  /** Tell who relies on notifications that none will come any more. */
  signedOut() {
    if (this.on && !document.hasFocus()) {
      this.notify("You are signed out", "The approver’s desk shows nothing any more until you sign in again.", "session");
    }
  }

  notify(title, body, tag) {
    try {
      const notice = new Notification(title, { body, tag, icon: icon(0) });
      notice.addEventListener("click", () => {
        window.focus();
        this.chosen(tag);
        notice.close();
      });
    } catch {
      // Phones want a service worker for it.
    }
  }
}
