// Gates as sentences: what was asked, the answer, the figures, and the threshold beside the value.

import { el, keyed, setText, show } from "../dom.js";
import { count, evidence, words } from "../format.js";
import { GATES, pill } from "./words.js";

/** A list of gates, those that decided first. */
export function gateList() {
  const node = el("ul", { class: "gates" });
  return {
    node,
    update(gates) {
      const items = gates.map((gate, index) => ({ gate, index }));
      keyed(node, items, ({ gate, index }) => `${index} ${gate.name}`, createGate);
    },
  };
}

function createGate() {
  const verdict = pill();
  const name = el("span", { class: "gate-name" });
  const reason = el("p", { class: "gate-reason" });
  const figures = el("span");
  const tested = el("span");
  const fill = el("div", { class: "bar-fill" });
  const track = el("div", { class: "bar thin", "aria-hidden": "true" }, fill);
  const node = el(
    "li",
    {},
    verdict.node,
    el(
      "div",
      { class: "gate-body" },
      name,
      reason,
      el("p", { class: "gate-figures" }, figures, tested),
      track,
    ),
  );
  return {
    node,
    update({ gate }) {
      verdict.update(GATES[gate.verdict] ?? GATES.unspecified);
      node.dataset.gate = gate.name;
      node.dataset.verdict = gate.verdict;
      setText(name, words(gate.name));
      setText(reason, gate.reason);
      setText(figures, figuresOf(gate));
      const test = gate.logE !== null && gate.logThreshold !== null && gate.logThreshold > 0;
      show(track, test);
      show(tested, test);
      if (test) {
        const part = Math.min(1, Math.max(0, gate.logE / gate.logThreshold));
        fill.style.width = `${100 * part}%`;
        setText(
          tested,
          ` Evidence ${evidence(gate.logE)}; decides at ${evidence(gate.logThreshold)}.`,
        );
      }
    },
  };
}

function figuresOf(gate) {
  const more = gate.moreCalls ? ` About ${count(gate.moreCalls)} more calls.` : "";
  if (gate.n === 0) return more.trim();
  // Only a test has ones among its observations; elsewhere 0 of n would read like a finding.
  if (gate.s === 0 && gate.logE === null) return `n = ${count(gate.n)}.${more}`;
  return `${count(gate.s)} of n = ${count(gate.n)}.${more}`;
}
