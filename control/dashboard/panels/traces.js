// Pairs of traces, newest first: what both arms did with the same call, side by side.

import { disclosure, el, keyed, setAttr, setText } from "../dom.js";
import { decodeTracePairs } from "../decode.js";
import { clock, counted, methodName, micros, NOTHING } from "../format.js";
import { fetchJson, Poll } from "../source.js";
import { note } from "./header.js";
import { total, waterfalls } from "./waterfall.js";
import { armKey } from "./words.js";

const EVERY_MS = 5000;
const PAIRS = 10;
// Asked for when one certain trace is looked for: the most that the control plane gives.
const SEARCH = 200;

/** The panel. */
export class Traces {
  #list = el("ol", { class: "pairs" });
  #method = el("select", {}, el("option", { value: "", text: "all methods" }));
  #only = el("input", { type: "checkbox" });
  #said = note();
  #poll = new Poll(() => this.#read(), EVERY_MS);
  // The pair that a link led to, or that is open, stays even when newer ones push it out.
  #kept = new Map();
  #open = new Set();

  constructor() {
    for (const control of [this.#method, this.#only]) {
      control.addEventListener("change", () => this.#poll.now());
    }
    document
      .getElementById("traces-body")
      .append(
        el("h3", { text: "Trace pairs, newest first" }),
        el(
          "div",
          { class: "controls" },
          el("label", {}, "Method ", this.#method),
          el("label", {}, this.#only, " only pairs that differ"),
        ),
        this.#said.node,
        this.#list,
      );
  }

  start() {
    this.#poll.start();
  }

  /** Asks again at once. */
  now() {
    this.#poll.now();
  }

  update(state) {
    const names = ["", ...state.methods.map((method) => method.method)];
    keyed(
      this.#method,
      names,
      (name) => name,
      (name) => ({
        node: el("option", { value: name, text: name ? methodName(name) : "all methods" }),
        update() {},
      }),
    );
  }

  /** Opens one trace and brings it into view. */
  async show(traceId, method) {
    let pair;
    try {
      const pairs = decodeTracePairs(await fetchJson("/api/traces", { method, limit: SEARCH }));
      pair = pairs.find((one) => one.traceId === traceId);
    } catch (error) {
      this.#said.say(`Traces could not be read (${error.message}).`);
    }
    if (!pair) {
      this.#said.say(
        `Trace ${traceId} is not among the pairs kept: it has gone, or its spans ` +
          "have not all come yet.",
      );
      this.#said.node.scrollIntoView({ block: "center" });
      return;
    }
    this.#kept.set(traceId, pair);
    this.#open.add(traceId);
    await this.#poll.now();
    const node = this.#list.querySelector(`[data-trace="${CSS.escape(traceId)}"]`);
    const button = node?.querySelector("button");
    if (button?.getAttribute("aria-expanded") === "false") button.click();
    button?.focus({ preventScroll: true });
    node?.scrollIntoView({ block: "start" });
  }

  async #read() {
    let pairs;
    try {
      pairs = decodeTracePairs(
        await fetchJson("/api/traces", {
          method: this.#method.value,
          only_mismatched: this.#only.checked,
          limit: PAIRS,
        }),
      );
    } catch (error) {
      this.#said.say(`Traces could not be read (${error.message}); trying again.`);
      return;
    }
    this.#said.say(pairs.length === 0 ? "No pair of traces to show yet." : "");
    const listed = new Set(pairs.map((pair) => pair.traceId));
    for (const pair of pairs) if (this.#open.has(pair.traceId)) this.#kept.set(pair.traceId, pair);
    for (const [id, pair] of this.#kept) {
      if (!this.#open.has(id)) this.#kept.delete(id);
      else if (!listed.has(id)) pairs.push(pair);
    }
    pairs.sort((a, b) => b.atMs - a.atMs);
    keyed(
      this.#list,
      pairs,
      (pair) => pair.traceId,
      (pair) => this.#createPair(pair),
    );
  }

  #createPair(first) {
    const body = el("div", { class: "pair-body" });
    let drawn = "";
    let pair = first;
    const draw = () => {
      const wanted = JSON.stringify(pair);
      if (body.hidden || drawn === wanted) return;
      drawn = wanted;
      body.replaceChildren(...content(pair));
    };
    const open = disclosure(body, `Trace ${first.traceId} of ${methodName(first.method)}`, draw);
    open.addEventListener("click", () => {
      if (body.hidden) this.#open.delete(first.traceId);
      else {
        this.#open.add(first.traceId);
        this.#kept.set(first.traceId, pair);
      }
    });
    const legacy = el("strong");
    const candidate = el("strong");
    const differing = el("span", { class: "tag" });
    const node = el(
      "li",
      { class: "trace-pair", data: { trace: first.traceId } },
      el(
        "div",
        { class: "pair-head" },
        open,
        el("time", {
          datetime: new Date(first.atMs).toISOString(),
          text: clock(first.atMs, Date.now()),
        }),
        el("strong", { text: methodName(first.method) }),
        el("code", {
          class: "muted",
          title: first.traceId,
          text: `${first.traceId.slice(0, 8)} …`,
        }),
        el(
          "span",
          { class: "pair-times" },
          el("span", {}, armKey("legacy"), " ", legacy),
          el("span", {}, armKey("candidate"), " ", candidate),
        ),
        differing,
      ),
      body,
    );
    return {
      node,
      update(next) {
        pair = next;
        setText(legacy, took(pair.legacy));
        setText(candidate, took(pair.candidate));
        const n = pair.differences.length;
        setText(differing, n === 0 ? "same operations" : counted(n, "difference"));
        setAttr(differing, "class", n === 0 ? "tag good" : "tag bad");
        draw();
      },
    };
  }
}

function took(spans) {
  const us = total(spans);
  return us === null ? NOTHING : micros(us);
}

function content(pair) {
  const facts = el(
    "p",
    { class: "muted small-text" },
    "Trace ",
    el("code", { text: pair.traceId }),
    `, answered by ${pair.primary}. Both waterfalls have the same time scale.`,
  );
  const nodes = [facts];
  if (pair.differences.length > 0) {
    nodes.push(
      el(
        "ul",
        { class: "pair-differences" },
        ...pair.differences.map((text) => el("li", { text })),
      ),
    );
  }
  nodes.push(waterfalls(pair));
  return nodes;
}
