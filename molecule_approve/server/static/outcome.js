// How a request ended: in words, as a badge with a sign of its own, and as a sentence.

import { make } from "./text.js";

const OUTCOMES = {
  approved: { word: "Approved", sign: "m4.5 10.5 4 4 7-9" },
  denied: { word: "Denied", sign: "m5.5 5.5 9 9m0-9-9 9" },
  expired: { word: "Expired", sign: "M10 3.5a6.5 6.5 0 1 1 0 13 6.5 6.5 0 0 1 0-13ZM10 6.5V10l2.5 1.5", sentence: "nobody decided in time" },
  withdrawn: { word: "Withdrawn", sign: "M8 5 4 9l4 4M4.5 9H12a4 4 0 0 1 0 8H9", sentence: "by the requester" },
  unknown: { word: "Ended", sign: "M5 10h10", sentence: "(outcome unknown)" },
};
// The refusal of a late decision has only the name.
const NAMES = { "auto-expired": "expired", withdrawn: "withdrawn" };
const RULE = "policy:";
const SVG = "http://www.w3.org/2000/svg";

/** How a request ended: `{tone, word, sentence, isDecided}`; without a row, and for a row without a verdict, the outcome is unknown. */
export function outcomeOf(row) {
  const found = row?.outcome ?? NAMES[row?.decided_by] ?? row?.status;
  const tone = found in OUTCOMES ? found : "unknown";
  const { word, sentence } = OUTCOMES[tone];
  const isDecided = sentence === undefined && Boolean(row.decided_by);
  const by = `by ${row?.decided_by || "an approver"}${aboutOf(row)}`;
  return { tone, word, sentence: sentence ?? by, isDecided };
}

// No approver's name begins like a rule's.
function aboutOf(row) {
  if (row?.decided_by?.startsWith(RULE)) {
    return ", a rule of this server";
  }
  return row?.self_approved === true ? ", who requested it" : "";
}

/** A badge for one of these outcomes. */
export function badge(tone) {
  const { word, sign } = OUTCOMES[tone];
  const found = make("span", `outcome ${tone}`);
  const glyph = document.createElementNS(SVG, "svg");
  glyph.setAttribute("viewBox", "0 0 20 20");
  glyph.setAttribute("class", "glyph");
  glyph.setAttribute("aria-hidden", "true");
  const path = document.createElementNS(SVG, "path");
  path.setAttribute("d", sign);
  glyph.append(path);
  found.append(glyph, make("span", "word", word));
  return found;
}
