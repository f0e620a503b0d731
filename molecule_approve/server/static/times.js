// Times and durations as text, by the server's clock: that of a laptop may be minutes off.

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

/** A duration as digits: 4:05, 1:04:05, 2 d 03:04:05. */
export function clockwork(milliseconds) {
  const seconds = Math.max(0, Math.ceil(milliseconds / SECOND));
  const [days, hours] = [Math.floor(seconds / 86400), Math.floor(seconds / 3600) % 24];
  const rest = `${two(Math.floor(seconds / 60) % 60)}:${two(seconds % 60)}`;
  if (days > 0) {
    return `${days} d ${two(hours)}:${rest}`;
  }
  return hours > 0 ? `${hours}:${rest}` : rest.replace(/^0/u, "");
}

function largest(milliseconds) {
  const units = [[DAY, "d"], [HOUR, "h"], [MINUTE, "min"], [SECOND, "s"]];
  const passed = Math.max(0, milliseconds);
  const [size, unit] = units.find(([length]) => passed >= length) ?? units.at(-1);
  return [Math.floor(passed / size), unit];
}

/** A duration in its largest unit: 45 s, 12 min, 3 h, 5 d. */
export const roughly = (milliseconds) => largest(milliseconds).join(" ");

/** The same for a narrow column: 45s, 12m, 3h, 5d. */
export function shortly(milliseconds) {
  const [count, unit] = largest(milliseconds);
  return `${count}${unit[0]}`;
}

/** How long ago that was, roughly: "just now", "3 min ago". */
export function ago(time) {
  const passed = now() - time;
  return passed < 10 * SECOND ? "just now" : `${roughly(passed)} ago`;
}

/** The time in full, in this browser's time zone. */
export function absolute(time) {
  return new Date(time).toLocaleString(undefined, { dateStyle: "full", timeStyle: "long" });
}

/** Show in a <time> element how long ago something was, with the full time as its title. */
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
