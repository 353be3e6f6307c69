// Two waterfalls, legacy and candidate, on one time scale, so that the lengths can be compared.

import { el } from "../dom.js";
import { counted, methodName, micros } from "../format.js";
import { icon } from "../icons.js";
import { armKey } from "./words.js";

// Spans drawn for each arm.
const SPANS_MAX = 150;
// From this many equal operations on, the repetition is said above the waterfall.
const REPEATED = 3;
const TICKS = 4;

/** Both waterfalls of a pair. */
export function waterfalls(pair) {
  const spans = [...pair.legacy, ...pair.candidate];
  const from = Math.min(0, ...spans.map((s) => s.startUs));
  const until = Math.max(from + 1, ...spans.map((s) => s.startUs + s.durationUs));
  return el(
    "div",
    { class: "waterfalls" },
    waterfall("legacy", pair.legacy, from, until),
    waterfall("candidate", pair.candidate, from, until),
  );
}

/** How long an arm took: the end of its last span. */
export function total(spans) {
  return spans.length === 0 ? null : Math.max(...spans.map((s) => s.startUs + s.durationUs));
}

function waterfall(arm, spans, from, until) {
  const operations = spans.filter((s) => s.key !== "").length;
  const took = total(spans);
  const body = el("tbody");
  for (const span of spans.slice(0, SPANS_MAX)) body.append(row(span, from, until));
  const table = el(
    "table",
    { class: `waterfall ${arm}` },
    el("caption", { class: "visually-hidden", text: `Spans of the ${arm}` }),
    el(
      "thead",
      {},
      el(
        "tr",
        {},
        el("th", { scope: "col", text: "Span" }),
        el("th", { scope: "col", class: "axis" }, axis(from, until)),
        el("th", { scope: "col", class: "number", text: "Took" }),
      ),
    ),
    body,
  );
  const head = el(
    "p",
    { class: "waterfall-head" },
    armKey(arm),
    el("strong", { text: took === null ? "no spans" : micros(took) }),
    el("span", { class: "muted", text: counted(operations, "operation") }),
  );
  for (const { key, n } of repeats(spans)) {
    head.append(
      el(
        "span",
        { class: "repeat" },
        el("strong", { text: `${n} ×` }),
        " ",
        el("code", { text: key }),
      ),
    );
  }
  const node = el("div", { class: "waterfall-box", data: { arm } }, head, table);
  if (spans.length > SPANS_MAX) {
    node.append(
      el("p", { class: "note", text: `${spans.length - SPANS_MAX} more spans not drawn.` }),
    );
  }
  return node;
}

function axis(from, until) {
  const line = el("div", { class: "ticks" });
  for (let i = 0; i <= TICKS; i += 1) {
    line.append(el("span", { text: micros(from + ((until - from) * i) / TICKS) }));
  }
  return line;
}

function row(span, from, until) {
  const bar = el("div", { class: span.key ? "span-bar" : "span-bar internal" });
  const scale = 100 / (until - from);
  bar.style.left = `${(span.startUs - from) * scale}%`;
  bar.style.width = `${Math.max(0.4, span.durationUs * scale)}%`;
  const name = el("span", {
    class: "span-name",
    title: span.name,
    text: span.key || shortName(span.name),
  });
  name.style.paddingLeft = `${Math.min(span.depth, 12) * 0.7}rem`;
  if (span.error) name.append(" ", el("span", { class: "bad-text" }, icon("cross"), "error"));
  return el(
    "tr",
    {},
    el("th", { scope: "row" }, name),
    el(
      "td",
      { class: "track-cell" },
      el("div", { class: "track" }, bar),
      el("span", { class: "visually-hidden", text: `starts at ${micros(span.startUs)}` }),
    ),
    el("td", { class: "number", text: micros(span.durationUs) }),
  );
}

// Server spans are called by the whole path of their method; the end of it tells them apart.
function shortName(name) {
  return /^\/?[\w.]+\/\w+$/.test(name) ? methodName(name) : name;
}

function repeats(spans) {
  const counts = new Map();
  for (const { key } of spans) if (key) counts.set(key, (counts.get(key) ?? 0) + 1);
  return [...counts].filter(([, n]) => n >= REPEATED).map(([key, n]) => ({ key, n }));
}
