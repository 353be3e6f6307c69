// The methods table: weight and owner, then both arms side by side in every cell, with the ratio.

import { disclosure, el, keyed, setClass, setText, show } from "../dom.js";
import {
  count,
  counted,
  methodName,
  micros,
  NOTHING,
  rate,
  ratio,
  serviceName,
  share,
  statusName,
  weight,
  words,
} from "../format.js";
import { differing } from "../noise.js";
import { armKey, NOT_COMPARED, OWNERS } from "./words.js";

const COLUMNS = [
  "Method",
  "Weight",
  "Arm",
  "Calls/s",
  "Calls",
  "Failed",
  "p50",
  "p90",
  "p99",
  "Timed calls",
  "Compared",
  "Differing",
];

const LEGEND = "Ratios are candidate to legacy; “differing” leaves noise out.";
// A latency ratio above this is called slower.
const SLOWER = 1.05;

/** The table; one body of two rows (figures, details) for each method. */
export class Methods {
  #table = el(
    "table",
    { class: "methods" },
    el("caption", { class: "visually-hidden", text: "Methods, with the figures of both arms" }),
    el("thead", {}, el("tr", {}, ...COLUMNS.map((name) => el("th", { scope: "col", text: name })))),
  );
  #service = el("p", { class: "muted panel-note" });
  #empty = el("p", {
    class: "empty",
    text: "No method has had a call yet. Send calls to the proxy, and they appear here.",
  });

  constructor() {
    document
      .getElementById("methods-body")
      .append(
        this.#service,
        this.#empty,
        el(
          "div",
          { class: "scroll", tabindex: "0", role: "region", "aria-label": "Methods table" },
          this.#table,
        ),
      );
  }

  update(state) {
    show(this.#empty, state.methods.length === 0);
    show(this.#table, state.methods.length > 0);
    // Methods that the descriptors don't have are counted together, as of no service.
    const named = state.methods.map((method) => serviceName(method.method)).filter(Boolean);
    const services = new Set(named);
    const one = services.size === 1 ? [...services][0] : "";
    setText(this.#service, one ? `All of ${one}. ${LEGEND}` : LEGEND);
    setClass(this.#table, one ? "methods one-service" : "methods");
    keyed(this.#table, state.methods, (method) => method.method, createMethod, this.#table.tHead);
  }
}

function createMethod(first) {
  const details = el("td", { colspan: String(COLUMNS.length) });
  const more = el("tr", { class: "more" }, details);
  const open = disclosure(more, `Details of ${methodName(first.method)}`);
  const name = el(
    "th",
    { scope: "row" },
    open,
    el(
      "span",
      { class: "name-box" },
      el("span", { class: "name", text: methodName(first.method) }),
      el("span", { class: "muted small-text", text: serviceName(first.method) }),
    ),
  );
  const shown = el("span", { data: { field: "method-weight" } });
  const owner = el("span", { class: "small-text" });
  const weightCell = el("td", { class: "method-weight", data: { label: "Weight" } }, shown, owner);
  const keys = el(
    "td",
    { class: "pair keys", data: { label: "" } },
    armKey("legacy"),
    armKey("candidate"),
    el("span", { class: "ratio", text: "ratio" }),
  );
  const cells = Object.fromEntries(
    ["rate", "calls", "failed", "p50", "p90", "p99", "timed"].map((key, i) => [
      key,
      pairCell(COLUMNS[i + 3], key),
    ]),
  );
  const compared = el("td", {
    class: "number",
    data: { label: "Pairs compared", field: "compared" },
  });
  const differs = el("td", {
    class: "number",
    data: { label: "Pairs differing", field: "differing" },
  });
  const row = el(
    "tr",
    {},
    name,
    weightCell,
    keys,
    ...Object.values(cells).map((c) => c.node),
    compared,
    differs,
  );
  const node = el("tbody", { data: { method: first.method } }, row, more);
  return {
    node,
    update(method) {
      setText(shown, weight(method.weightBp));
      setText(owner, OWNERS[method.owner] ?? method.owner);
      setClass(owner, method.owner === "override" ? "small-text warn-text" : "small-text muted");
      const { legacy, candidate } = method.arms;
      cells.rate.update(rate(legacy.callsPerSecond), rate(candidate.callsPerSecond), "");
      cells.calls.update(count(legacy.calls), count(candidate.calls), "");
      cells.failed.update(failed(legacy), failed(candidate), "");
      for (const key of ["p50", "p90", "p99"]) {
        const both = legacy.latency.count > 0 && candidate.latency.count > 0;
        cells[key].update(
          quantile(legacy, key),
          quantile(candidate, key),
          both ? ratio(candidate.latency[key], legacy.latency[key]) : "",
          both && candidate.latency[key] > SLOWER * legacy.latency[key],
        );
      }
      cells.timed.update(count(legacy.latency.count), count(candidate.latency.count), "");
      const n = method.pairs.compared;
      const real = differing(method);
      setText(compared, counted(n, "pair"));
      setText(
        differs,
        n > 0 ? `${real.exact ? "" : "≤ "}${count(real.pairs)} (${share(real.pairs, n)})` : NOTHING,
      );
      setClass(differs, real.pairs > 0 ? "number bad-text" : "number");
      updateDetails(details, method);
    },
  };
}

// Legacy above candidate on a wide page, side by side on a narrow one.
function pairCell(label, key) {
  const [legacy, candidate] = ["legacy", "candidate"].map((arm) =>
    el("span", { class: "value", data: { arm } }),
  );
  const compare = el("span", { class: "ratio" });
  const node = el(
    "td",
    { class: "pair number", data: { label, field: key } },
    el("span", {}, el("span", { class: "visually-hidden", text: "legacy " }), legacy),
    el("span", {}, el("span", { class: "visually-hidden", text: "candidate " }), candidate),
    compare,
  );
  return {
    node,
    update(one, other, both, slower = false) {
      setText(legacy, one);
      setText(candidate, other);
      setText(compare, slower ? `${both} slower` : both);
      setClass(compare, slower ? "ratio warn-text" : "ratio");
    },
  };
}

function failed(arm) {
  return arm.calls === 0 ? NOTHING : `${share(arm.failures, arm.calls)} (${count(arm.failures)})`;
}

function quantile(arm, key) {
  return arm.latency.count > 0 ? micros(arm.latency[key]) : NOTHING;
}

function updateDetails(cell, method) {
  const { pairs, traces, arms } = method;
  const lines = [
    ["Statuses, legacy", statuses(arms.legacy)],
    ["Statuses, candidate", statuses(arms.candidate)],
    [
      "Shadow calls",
      `legacy ${count(arms.legacy.shadowCalls)}, ` +
        `candidate ${count(arms.candidate.shadowCalls)}`,
    ],
    [
      "Slower in a pair",
      `candidate ${count(pairs.candidateSlower)}, ` +
        `legacy ${count(pairs.legacySlower)}, of n = ${count(pairs.compared)} pairs`,
    ],
    [
      "Failed alone",
      `candidate ${count(pairs.onlyCandidateFailed)}, ` +
        `legacy ${count(pairs.onlyLegacyFailed)}, of n = ${count(pairs.compared)} pairs`,
    ],
    [
      "Differ at all",
      `${count(pairs.mismatched)} of n = ${count(pairs.compared)} pairs, ` + "noise counted too",
    ],
    ["Not compared", reasons(pairs.notCompared, "pairs", NOT_COMPARED)],
    [
      "Traces",
      traces.compared > 0
        ? `${count(traces.mismatched)} of n = ${count(traces.compared)} trace pairs differ`
        : "no trace pair compared yet",
    ],
    ["Traces given up", reasons(traces.incomplete, "pairs")],
  ];
  let list = cell.firstElementChild;
  if (!list) {
    list = el("dl", { class: "facts" });
    cell.append(list);
  }
  keyed(
    list,
    lines,
    ([term]) => term,
    ([term]) => {
      const value = el("dd");
      return {
        node: el("div", {}, el("dt", { text: term }), value),
        update: ([, text]) => setText(value, text),
      };
    },
  );
}

function statuses(arm) {
  if (arm.byStatus.length === 0) return "no primary call ended yet";
  return arm.byStatus.map(({ name, n }) => `${statusName(Number(name))} ${count(n)}`).join(", ");
}

function reasons(counts, unit, known = {}) {
  if (counts.length === 0) return "none";
  const reason = (name) => (Object.hasOwn(known, name) ? known[name] : words(name));
  return counts.map(({ name, n }) => `${reason(name)}: ${count(n)} ${unit}`).join(", ");
}
