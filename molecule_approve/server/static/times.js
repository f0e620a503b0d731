// Points in time and spans in words. The server's clock counts: a laptop's may be minutes away from it.

const SECOND = 1000;
const MINUTE = 60 * SECOND;
const HOUR = 60 * MINUTE;
const DAY = 24 * HOUR;

let ahead = 0;

/** Remember how far the server's clock is ahead of ours. */
export function setServerTime(text) {
  const found = Date.parse(text);
  if (!Number.isNaN(found)) {
    ahead = found - Date.now();
  }
}

/** Milliseconds since the epoch, by the server's clock. */
export function now() {
  return Date.now() + ahead;
}

const two = (number) => String(number).padStart(2, "0");

/** A span as a clock counts it: 4:05, 1:04:05, 2 d 03:04:05. */
export function clockwork(milliseconds) {
  const seconds = Math.max(0, Math.ceil(milliseconds / SECOND));
  const [days, hours] = [Math.floor(seconds / 86400), Math.floor(seconds / 3600) % 24];
  const rest = `${two(Math.floor(seconds / 60) % 60)}:${two(seconds % 60)}`;
  if (days > 0) {
    return `${days} d ${two(hours)}:${rest}`;
  }
  return hours > 0 ? `${hours}:${rest}` : rest.replace(/^0/u, "");
}

/** How long ago that was, roughly: "just now", "3 min ago". */
export function ago(time) {
  const passed = now() - time;
  if (passed < 10 * SECOND) {
    return "just now";
  }
  if (passed < MINUTE) {
    return `${Math.floor(passed / SECOND)} s ago`;
  }
  if (passed < HOUR) {
    return `${Math.floor(passed / MINUTE)} min ago`;
  }
  return passed < DAY ? `${Math.floor(passed / HOUR)} h ago` : `${Math.floor(passed / DAY)} d ago`;
}

/** The point in time in full, where this person lives. */
export function absolute(time) {
  return new Date(time).toLocaleString(undefined, { dateStyle: "full", timeStyle: "long" });
}

/** Let a <time> element say how long ago something was, with the point in time in full behind it. */
export function showAgo(element, time) {
  const words = ago(time);
  if (element.textContent !== words) {
    element.textContent = words;
  }
  if (!element.dateTime) {
    element.dateTime = new Date(time).toISOString();
    element.title = absolute(time);
  }
}
