// The decision log, newest first: who changed a weight or a phase, from what to what, and why.

import { disclosure, el, keyed, show } from "../dom.js";
import { decodeDecisions } from "../decode.js";
import { clock, methodName, weight, words } from "../format.js";
import { fetchJson, Poll } from "../source.js";
import { gateList } from "./gates.js";
import { note } from "./header.js";
import { ACTIONS, pill } from "./words.js";

const EVERY_MS = 5000;
const LIMIT = 100;

/** The panel. */
export class Decisions {
  #list = el("ol", { class: "decisions" });
  #said = note();
  #poll = new Poll(() => this.#read(), EVERY_MS);
  #seen = "";

  constructor() {
    document.getElementById("decisions-body").append(this.#said.node, this.#list);
  }

  start() {
    this.#poll.start();
  }

  /** Asks again at once. */
  now() {
    this.#poll.now();
  }

  /** A ramp that moved has left a line; it should not take seconds to show. */
  update(state) {
    const seen = JSON.stringify([
      state.generation,
      state.ramps.map((ramp) => [ramp.scope, ramp.phase, ramp.weightBp]),
    ]);
    if (seen !== this.#seen) this.#poll.now();
    this.#seen = seen;
  }

  async #read() {
    try {
      const decisions = decodeDecisions(await fetchJson("/api/decisions", { limit: LIMIT }));
      this.#said.say(decisions.length === 0 ? "Nothing was decided yet." : "");
      show(this.#list, decisions.length > 0);
      keyed(this.#list, decisions, (decision) => decision.id, createDecision);
    } catch (error) {
      this.#said.say(`The decision log could not be read (${error.message}); trying again.`);
    }
  }
}

function createDecision(decision) {
  const action = pill();
  action.update(
    ACTIONS[decision.action] ?? {
      word: words(decision.action || "changed"),
      icon: "unknown",
      tone: "plain",
    },
  );
  const change =
    decision.fromBp === decision.toBp
      ? `stays at ${weight(decision.toBp)}`
      : `${weight(decision.fromBp)} → ${weight(decision.toBp)}`;
  const node = el(
    "li",
    { data: { decision: decision.id, action: decision.action } },
    el("time", {
      datetime: new Date(decision.atMs).toISOString(),
      text: clock(decision.atMs, Date.now()),
    }),
    action.node,
    el("strong", { class: "scope", title: decision.scope, text: methodName(decision.scope) }),
    el("span", { class: "change", text: change }),
    el("span", {
      class: "who",
      text: `by ${decision.who === "ramp" ? "the ramp" : decision.who || "somebody unnamed"}`,
    }),
  );
  const why = el("p", { class: "why", text: decision.why || "no reason given" });
  if (decision.gates.length === 0 && decision.samples.length === 0) {
    node.append(why);
    return { node, update() {} };
  }
  const gates = gateList();
  gates.update(decision.gates);
  const basis = el("div", { class: "basis" }, gates.node);
  if (decision.samples.length > 0) basis.append(samples(decision.samples));
  const explain = el("code", { text: `cutover explain ${decision.id}` });
  basis.append(el("p", {}, "Judge it again: ", explain));
  node.append(disclosure(basis, `Basis of decision ${decision.id}`), why, basis);
  return { node, update() {} };
}

// Pairs that differed when it was decided.
function samples(all) {
  const one = (sample) => {
    const trace = sample.traceId === "" ? "" : ` trace ${sample.traceId}`;
    const where = `, ${words(sample.kind)}, in ${methodName(sample.method)}${trace}`;
    return el("li", {}, el("code", { text: sample.path }), el("span", { text: where }));
  };
  const heading = el("p", { text: "Examples that were there:" });
  return el("div", { class: "samples" }, heading, el("ul", {}, ...all.map(one)));
}
