// Shows text from elsewhere: as text, in full, and with every hidden character marked.
// The rules are those of molecule_approve/safe_text.py; a test compares the two.

// Characters that a person could miss or be misled by: control, format, unassigned and private characters, separators
// and blanks other than the space, and those that are invisible although their category says otherwise.
const HIDDEN = new RegExp(
  "(?! )[\\p{C}\\p{Z}\\u034F\\u115F\\u1160\\u17B4\\u17B5\\u180B-\\u180D\\u180F\\u2800\\u3164\\uFFA0" +
    "\\uFE00-\\uFE0F\\u{E0100}-\\u{E01EF}]",
  "gu",
);

// A longer text is folded, and must be shown in full before its request can be approved.
const SHORT_CHARACTERS = 600;
const SHORT_LINES = 10;
const BRIEF = 160;

/** Whether this one character is hidden. */
export function isHidden(character) {
  HIDDEN.lastIndex = 0;
  return HIDDEN.test(character);
}

/** How a hidden character is written: U+202E. */
export function codePoint(character) {
  return "U+" + character.codePointAt(0).toString(16).toUpperCase().padStart(4, "0");
}

// A bracket that could be read as one of our marks, or as part of one.
const POSING = new RegExp(`\\[+(?=U\\+|${HIDDEN.source})`, "gu");

/**
 * The text with its hidden characters written out, for places that hold plain text only: titles, announcements. A text
 * that holds what looks like such a mark has its bracket doubled, so that no two texts look alike.
 */
export function plain(text) {
  return text.replace(POSING, "$&$&").replace(HIDDEN, (character) => `[${codePoint(character)}]`);
}

/** The beginning of a text for places with little room; it says if something is missing, or is `more` elsewhere. */
export function brief(text, more = false) {
  const characters = [...text];
  const isLonger = characters.length > BRIEF;
  return isLonger || more ? `${isLonger ? characters.slice(0, BRIEF).join("") : text}… (more on the page)` : text;
}

/** Whether a text is too long to read at a glance. */
export function isLong(text) {
  return text.length > SHORT_CHARACTERS || text.split("\n").length > SHORT_LINES;
}

/** An element with a class and, where given, our own text. */
export function make(tag, className, text) {
  const element = document.createElement(tag);
  if (className) {
    element.className = className;
  }
  if (text !== undefined) {
    element.textContent = text;
  }
  return element;
}

function mark(character) {
  const chip = make("span", "hidden", codePoint(character));
  chip.title = "hidden character, shown by its code point";
  // In a screen reader it must sound different from a text with the same spelling.
  chip.setAttribute("role", "img");
  chip.setAttribute("aria-label", `hidden character ${chip.textContent}`);
  return chip;
}

/**
 * Put a text into an element, replacing what was there. With `lines` its line feeds stay line breaks (the element's
 * style keeps them); in a place of one line they are marked like every other control character.
 */
export function show(element, text, lines = false) {
  const parts = [];
  let done = 0;
  for (const found of text.matchAll(HIDDEN)) {
    if (lines && found[0] === "\n") {
      continue;
    }
    parts.push(text.slice(done, found.index), mark(found[0]));
    done = found.index + found[0].length;
  }
  element.replaceChildren(...parts, text.slice(done));
  return element;
}

/**
 * Put a command into an element, as `show` does. Each of its words is one piece: it goes to the next line as a whole, and
 * is divided only if it is longer than a line.
 */
export function showCommand(element, text) {
  const parts = text.split(/([ \n]+)/u).filter((part) => part !== "");
  element.replaceChildren(...parts.map((part) => (/^[ \n]/u.test(part) ? part : show(make("span", "piece"), part))));
  return element;
}

/** Whether the text looks like a command or code, which is shown in fixed width. */
export function looksLikeCommand(text) {
  return /[\n|<>$`;=\\{}]|(^|\s)--?\w|[^\W\d][/.]\w|\w[/.][^\W\d]|&&/u.test(text);
}

/**
 * A link to this address, or null if it is not a plain http(s) address. Its text is the whole address, with the host
 * marked. An address that a browser reads differently from a person (a user name before the host, blanks, other
 * alphabets) gets no link.
 */
export function link(address) {
  let url;
  try {
    url = new URL(address);
  } catch {
    return null;
  }
  const same = url.href === address || url.href === `${address}/`;
  if (!/^https?:$/u.test(url.protocol) || url.username || url.password || !same) {
    return null;
  }
  const found = make("a", "address");
  found.href = url.href;
  found.rel = "noopener noreferrer";
  found.target = "_blank";
  const before = `${url.protocol}//`;
  found.append(before, make("strong", "", url.host), address.slice(before.length + url.host.length));
  return found;
}
