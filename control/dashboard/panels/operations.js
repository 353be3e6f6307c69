// Outbound operations of each method, over all trace pairs: how often each arm called them, for
// how long, and where the candidate asks N + 1 times.

import { el, keyed, setClass, setText, show } from "../dom.js";
import { count, methodName, micros, NOTHING, ratio, share } from "../format.js";
import { icon } from "../icons.js";
import { armKey } from "./words.js";

// Rows shown at most.
const ROWS_MAX = 100;
const COLUMNS = [
  "Operation",
  "Method",
  "Arm",
  "Calls",
  "Calls per trace",
  "Failed",
  "Own time per trace",
  "Trace pairs with more calls",
  "Finding",
];

/** The table of operations. */
export class Operations {
  #table = el(
    "table",
    { class: "operations" },
    el("caption", { class: "visually-hidden", text: "Operations of both arms" }),
    el("thead", {}, el("tr", {}, ...COLUMNS.map((name) => el("th", { scope: "col", text: name })))),
  );
  #summary = el("p", { class: "muted", data: { field: "operations-summary" } });

  constructor() {
    document
      .getElementById("operations-body")
      .append(
        this.#summary,
        el(
          "div",
          { class: "scroll", tabindex: "0", role: "region", "aria-label": "Operations table" },
          this.#table,
        ),
      );
  }

  update(state) {
    let compared = 0;
    let mismatched = 0;
    let incomplete = 0;
    const rows = [];
    for (const { method, traces } of state.methods) {
      compared += traces.compared;
      mismatched += traces.mismatched;
      for (const { n } of traces.incomplete) incomplete += n;
      for (const operation of traces.operations) {
        rows.push({ method, operation, compared: traces.compared });
      }
    }
    rows.sort(
      (a, b) =>
        Number(b.operation.nPlusOne) - Number(a.operation.nPlusOne) ||
        Number(differs(b.operation)) - Number(differs(a.operation)),
    );
    const left = rows.length > ROWS_MAX ? ` ${count(rows.length - ROWS_MAX)} rows not shown.` : "";
    setText(
      this.#summary,
      compared === 0
        ? "No pair of traces compared yet: both arms must export their spans."
        : `${count(mismatched)} of ${count(compared)} trace pairs differ ` +
            `(${share(mismatched, compared)}); ${count(incomplete)} given up for want of spans.${left}`,
    );
    show(this.#table, rows.length > 0);
    keyed(
      this.#table,
      rows.slice(0, ROWS_MAX),
      (row) => JSON.stringify([row.method, row.operation.key]),
      createRow,
      this.#table.tHead,
    );
  }
}

function differs(operation) {
  return (
    operation.moreInCandidate + operation.moreInLegacy > 0 ||
    operation.legacyErrors !== operation.candidateErrors
  );
}

function createRow({ method, operation }) {
  const cells = ["calls", "per-trace", "failed", "own-time", "more"].map((field, i) => {
    const parts = [el("span"), el("span"), el("span", { class: "ratio" })];
    const node = el(
      "td",
      { class: "pair number", data: { label: COLUMNS[i + 3], field } },
      ...parts,
    );
    return { node, update: (...texts) => parts.forEach((part, j) => setText(part, texts[j])) };
  });
  const finding = el("span", { class: "tag" });
  const mark = el("td", { data: { label: "Finding", field: "finding" } }, finding);
  const node = el(
    "tbody",
    { data: { method, operation: operation.key } },
    el(
      "tr",
      {},
      el("th", { scope: "row" }, el("code", { class: "name", text: operation.key })),
      el("td", { data: { label: "Method", field: "method" }, text: methodName(method) }),
      el(
        "td",
        { class: "pair keys", data: { label: "" } },
        armKey("legacy"),
        armKey("candidate"),
        el("span", { class: "ratio", text: "ratio" }),
      ),
      ...cells.map((cell) => cell.node),
      mark,
    ),
  );
  return {
    node,
    update({ operation: o, compared }) {
      const each = (n) => (compared > 0 ? String(Number((n / compared).toPrecision(3))) : NOTHING);
      const time = (us) => (compared > 0 ? micros(us / compared) : NOTHING);
      cells[0].update(count(o.legacyCalls), count(o.candidateCalls), "");
      cells[1].update(
        each(o.legacyCalls),
        each(o.candidateCalls),
        ratio(o.candidateCalls, o.legacyCalls),
      );
      cells[2].update(count(o.legacyErrors), count(o.candidateErrors), "");
      cells[3].update(
        time(o.legacySelfUs),
        time(o.candidateSelfUs),
        ratio(o.candidateSelfUs, o.legacySelfUs),
      );
      cells[4].update(
        `${count(o.moreInLegacy)} of ${count(compared)}`,
        `${count(o.moreInCandidate)} of ${count(compared)}`,
        "",
      );
      setFinding(finding, o);
    },
  };
}

function setFinding(tag, operation) {
  const [text, tone] = operation.nPlusOne
    ? ["N+1: the candidate asks once per item", "bad"]
    : differs(operation)
      ? ["differs", "warn"]
      : ["same", "good"];
  if (tag.dataset.said === text) return;
  tag.dataset.said = text;
  setClass(tag, `tag ${tone}`);
  tag.replaceChildren(icon(tone === "good" ? "check" : "warn"), ` ${text}`);
}
