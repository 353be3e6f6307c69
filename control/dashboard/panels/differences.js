// Where answers differ: each method and field with the pairs it was seen in, and examples with
// both values on request.

import { disclosure, el, keyed, setClass, setText, show } from "../dom.js";
import { decodeSamples } from "../decode.js";
import { clock, count, methodName, share, statusName, words } from "../format.js";
import { differingInAll } from "../noise.js";
import { fetchJson, Poll } from "../source.js";
import { note } from "./header.js";
import { armKey } from "./words.js";

// Rows shown at most; the rest is counted.
const ROWS_MAX = 200;
// Examples asked for in an open row.
const EXAMPLES = 5;
const EVERY_MS = 5000;
const HASH = /^#[0-9a-f]{16}$/;
const COLUMNS = ["Field or part of the answer", "Method", "Kind", "Pairs", "Share", "Counts"];

/** The panel; `showTrace(traceId, method)` leads to the trace panel. */
export class Differences {
  #table = el(
    "table",
    { class: "differences" },
    el("caption", { class: "visually-hidden", text: "Fields that differ between the arms" }),
    el("thead", {}, el("tr", {}, ...COLUMNS.map((name) => el("th", { scope: "col", text: name })))),
  );
  #summary = el("p", { class: "muted", data: { field: "differences-summary" } });
  #noisy = el("input", { type: "checkbox" });
  #more = note();
  #showTrace;
  #last = null;

  constructor(showTrace) {
    this.#showTrace = showTrace;
    this.#noisy.checked = true;
    this.#noisy.addEventListener("change", () => this.#last && this.update(this.#last));
    document
      .getElementById("differences-body")
      .append(
        el(
          "div",
          { class: "controls" },
          this.#summary,
          el("label", {}, this.#noisy, " show noisy fields"),
        ),
        el(
          "div",
          { class: "scroll", tabindex: "0", role: "region", "aria-label": "Differences table" },
          this.#table,
        ),
        this.#more.node,
      );
  }

  update(state) {
    this.#last = state;
    const rows = [];
    for (const method of state.methods) {
      for (const field of method.fields) {
        rows.push({ method: method.method, compared: method.pairs.compared, field });
      }
    }
    rows.sort(
      (a, b) => Number(a.field.noisy) - Number(b.field.noisy) || b.field.pairs - a.field.pairs,
    );
    const wanted = rows.filter((row) => this.#noisy.checked || !row.field.noisy);
    setText(this.#summary, summary(differingInAll(state.methods), rows));
    show(this.#table, wanted.length > 0);
    keyed(
      this.#table,
      wanted.slice(0, ROWS_MAX),
      (row) => JSON.stringify([row.method, row.field.path, row.field.kind]),
      (row) => createRow(row, this.#showTrace),
      this.#table.tHead,
    );
    this.#more.say(
      wanted.length > ROWS_MAX
        ? `${count(wanted.length - ROWS_MAX)} more rows; \`cutover report\` lists all.`
        : "",
    );
  }
}

function summary({ pairs, compared, exact }, rows) {
  if (compared === 0) return "No pair compared yet: only mirrored calls are compared.";
  const noisy = rows.filter((row) => row.field.noisy).length;
  const tail =
    noisy > 0
      ? ` ${noisy} of ${rows.length} fields are noisy: they differ as much when one arm is asked twice.`
      : "";
  if (pairs === 0) {
    return `All ${count(compared)} compared pairs agree${noisy > 0 ? ", noise left out" : ""}.${tail}`;
  }
  return (
    `${exact ? "" : "At most "}${count(pairs)} of ${count(compared)} compared pairs differ ` +
    `(${share(pairs, compared)})${noisy > 0 ? ", noise left out" : ""}.${tail}`
  );
}

function createRow(first, showTrace) {
  const { method, field } = first;
  const list = el("ol", { class: "examples" });
  const said = note();
  const more = el(
    "tr",
    { class: "more" },
    el("td", { colspan: String(COLUMNS.length) }, said.node, list),
  );
  const poll = new Poll(() => examples(), EVERY_MS);
  const open = disclosure(more, `Examples of ${field.path} in ${methodName(method)}`, () => {
    if (list.childElementCount === 0) said.say("Asking for examples …");
    poll.now();
  });
  const pairs = el("td", { class: "number", data: { label: "Pairs", field: "pairs" } });
  const part = el("td", { class: "number", data: { label: "Share", field: "share" } });
  const counts = el("span", { class: "tag" });
  const row = el(
    "tr",
    {},
    el("th", { scope: "row" }, open, el("code", { class: "name", text: field.path || "(whole)" })),
    el("td", { data: { label: "Method", field: "method" }, text: methodName(method) }),
    el("td", { data: { label: "Kind", field: "kind" }, text: words(field.kind) }),
    pairs,
    part,
    el("td", { data: { label: "Counts", field: "noisy" } }, counts),
  );
  const node = el("tbody", { data: { method, path: field.path, kind: field.kind } }, row, more);

  async function examples() {
    if (more.hidden || !node.isConnected) return false;
    try {
      const samples = decodeSamples(
        await fetchJson("/api/differences", { method, path: field.path, limit: EXAMPLES }),
      );
      said.say(samples.length === 0 ? "No example is kept of this one." : "");
      keyed(
        list,
        samples,
        (sample) => sample.key,
        (sample) => createExample(sample, field, showTrace),
      );
    } catch (error) {
      said.say(`Examples could not be read (${error.message}); trying again.`);
    }
    return true;
  }

  return {
    node,
    update(item) {
      setText(pairs, `${count(item.field.pairs)} of ${count(item.compared)}`);
      setText(part, share(item.field.pairs, item.compared));
      setClass(counts, item.field.noisy ? "tag plain" : "tag bad");
      setText(counts, item.field.noisy ? "noisy: not counted" : "counts against the candidate");
    },
  };
}

function createExample(sample, field, showTrace) {
  const here = sample.differences.filter((d) => d.path === field.path && d.kind === field.kind);
  const others = sample.differences.filter((d) => !here.includes(d));
  const head = el(
    "p",
    { class: "example-head" },
    el("time", {
      datetime: new Date(sample.atMs).toISOString(),
      text: clock(sample.atMs, Date.now()),
    }),
    el("span", { text: `answered by ${sample.primary}` }),
  );
  if (sample.legacyStatus !== 0 || sample.candidateStatus !== 0) {
    head.append(
      el("span", {
        text:
          `status: legacy ${statusName(sample.legacyStatus)}, ` +
          `candidate ${statusName(sample.candidateStatus)}`,
      }),
    );
  }
  if (sample.traceId) {
    head.append(
      el(
        "button",
        {
          class: "button small trace-link",
          type: "button",
          "aria-label": `Show trace ${sample.traceId}`,
          on: { click: () => showTrace(sample.traceId, sample.method) },
        },
        "Trace ",
        el("code", { text: sample.traceId.slice(0, 8) }),
        " …",
      ),
    );
  }
  const node = el("li", {}, head);
  for (const difference of here) node.append(values(difference));
  if (others.length + sample.dropped > 0) {
    const names = [...new Set(others.map((d) => d.path || d.kind))].slice(0, 6).join(", ");
    node.append(
      el("p", {
        class: "muted small-text",
        text: `Differs too: ${names}${sample.dropped > 0 ? ` and ${sample.dropped} not kept` : ""}`,
      }),
    );
  }
  return { node, update() {} };
}

function values(difference) {
  const node = el(
    "div",
    { class: "both" },
    el("div", {}, armKey("legacy"), value(difference.legacy, difference.kind === "extra")),
    el("div", {}, armKey("candidate"), value(difference.candidate, difference.kind === "missing")),
  );
  if (difference.sufficientRelative !== null) {
    node.append(
      el("p", {
        class: "muted small-text",
        text: `A relative tolerance of ${difference.sufficientRelative} would have sufficed.`,
      }),
    );
  }
  return node;
}

function value(text, absent) {
  if (text === "")
    return el("span", { class: "value-text muted", text: absent ? "absent" : "empty" });
  if (HASH.test(text)) {
    return el(
      "span",
      { class: "value-text" },
      el("code", { text }),
      el("span", { class: "muted small-text", text: " value not captured, only its hash" }),
    );
  }
  return el("pre", { class: "value-text", text });
}
