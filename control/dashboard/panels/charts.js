// Three lines over time, from what the page has seen since it was opened: calls of each arm, the
// candidate's share, and p99.

import { Chart } from "../chart.js";
import { History } from "../history.js";
import { count, micros, rate } from "../format.js";

const ARMS = [
  { label: "legacy", color: "legacy", dash: [5, 3] },
  { label: "candidate", color: "candidate" },
];

/** The charts. */
export class Charts {
  #calls = new History(2);
  #share = new History(2);
  #latency = new History(2);
  #callsChart = new Chart({
    title: "Calls per second, by arm",
    series: ARMS,
    format: (value) => `${rate(value)} /s`,
    range: (_, __, max) => [0, Math.max(1, max * 1.15)],
  });
  #shareChart = new Chart({
    title: "Share that the candidate answers",
    series: [
      { label: "asked for", color: "muted", dash: [5, 3] },
      { label: "observed, last 10 s", color: "candidate" },
    ],
    format: (value) => `${Number(value.toPrecision(3))} %`,
    range: (_, __, max) => [0, max > 50 ? 100 : Math.max(1, max * 1.3)],
  });
  #latencyChart = new Chart({
    title: "Latency p99, all methods",
    series: ARMS,
    format: micros,
    range: (_, __, max) => [0, Math.max(1, max * 1.15)],
  });

  constructor() {
    document
      .getElementById("charts")
      .append(this.#callsChart.node, this.#shareChart.node, this.#latencyChart.node);
  }

  update(state, report) {
    const seconds = Math.round(state.atMs / 1000);
    let legacy = 0;
    let candidate = 0;
    let asked = 0;
    for (const method of state.methods) {
      const here = method.arms.legacy.callsPerSecond + method.arms.candidate.callsPerSecond;
      legacy += method.arms.legacy.callsPerSecond;
      candidate += method.arms.candidate.callsPerSecond;
      asked += here * method.weightBp;
    }
    const all = legacy + candidate;
    this.#calls.add(seconds, [legacy, candidate]);
    this.#share.add(seconds, [
      all > 0 ? asked / all / 100 : null,
      all > 0 ? (100 * candidate) / all : null,
    ]);
    this.#latency.add(seconds, [
      quantile(report?.legacyLatency),
      quantile(report?.candidateLatency),
    ]);
    this.#callsChart.update(this.#calls.columns);
    this.#shareChart.update(this.#share.columns);
    const samples = report ? [report.legacyLatency, report.candidateLatency] : [];
    this.#latencyChart.update(
      this.#latency.columns,
      samples.map((q) => `(n = ${count(q.count)})`),
    );
  }

  /** After a lost connection: a gap instead of a line that was never measured. */
  gap(seconds) {
    for (const history of [this.#calls, this.#share, this.#latency]) {
      history.add(seconds, [null, null]);
    }
  }

  recolor() {
    for (const chart of [this.#callsChart, this.#shareChart, this.#latencyChart]) chart.recolor();
  }
}

function quantile(q) {
  return q && q.count > 0 ? q.p99 : null;
}
