// The figures at a glance: a handful of numbers, each with both arms and its sample size.

import { el, setText } from "../dom.js";
import {
  bytes,
  coreCount,
  count,
  counted,
  micros,
  NOTHING,
  rate,
  ratio,
  share,
} from "../format.js";
import { differingInAll } from "../noise.js";
import { armKey } from "./words.js";

/** The tiles under the headline. */
export class Figures {
  #calls = armTile("Calls per second", "calls");
  #failed = armTile("Failed calls", "failed");
  #p99 = armTile("Latency, p99", "p99");
  #differing = tile("Answers that differ", "differing");
  #cpu = armTile("CPU cores in use", "cpu");

  constructor() {
    document
      .getElementById("figures")
      .append(
        this.#calls.node,
        this.#failed.node,
        this.#p99.node,
        this.#differing.node,
        this.#cpu.node,
      );
  }

  update(state, report) {
    const sum = { legacy: zero(), candidate: zero() };
    for (const method of state.methods) {
      for (const arm of ["legacy", "candidate"]) {
        sum[arm].rate += method.arms[arm].callsPerSecond;
        sum[arm].calls += method.arms[arm].calls;
        sum[arm].failures += method.arms[arm].failures;
      }
    }
    this.#calls.update(
      rate(sum.legacy.rate),
      rate(sum.candidate.rate),
      `primary, last 10 s; ${counted(sum.legacy.calls + sum.candidate.calls, "call")} in all`,
    );
    this.#failed.update(
      failed(sum.legacy),
      failed(sum.candidate),
      `of ${count(sum.legacy.calls)} and ${count(sum.candidate.calls)} calls`,
    );
    const legacy = report?.legacyLatency;
    const candidate = report?.candidateLatency;
    this.#p99.update(
      quantile(legacy),
      quantile(candidate),
      legacy && candidate
        ? `ratio ${ratio(candidate.p99, legacy.p99)}; n\u00a0=\u00a0${count(legacy.count)} ` +
            `and ${count(candidate.count)}`
        : "not reported yet",
    );
    const { pairs, compared, exact } = differingInAll(state.methods);
    this.#differing.update(
      `${exact ? "" : "≤ "}${share(pairs, compared)}`,
      `${count(pairs)} of ${counted(compared, "compared pair")}, noise left out`,
    );
    const [one, other] = ["legacy", "candidate"].map((arm) =>
      state.processes.find((process) => process.arm === arm),
    );
    this.#cpu.update(
      one ? coreCount(one.cpuCores) : NOTHING,
      other ? coreCount(other.cpuCores) : NOTHING,
      `memory ${one ? bytes(one.memoryBytes) : NOTHING} and ` +
        `${other ? bytes(other.memoryBytes) : NOTHING}`,
    );
  }
}

function zero() {
  return { rate: 0, calls: 0, failures: 0 };
}

function failed({ failures, calls }) {
  return share(failures, calls);
}

function quantile(q) {
  return q && q.count > 0 ? micros(q.p99) : NOTHING;
}

function armTile(title, name) {
  const legacy = el("span", { class: "figure", data: { arm: "legacy" } });
  const candidate = el("span", { class: "figure", data: { arm: "candidate" } });
  const sample = el("p", { class: "muted small-text" });
  const node = el(
    "div",
    { class: "tile", data: { figure: name }, role: "group", "aria-label": title },
    el("h3", { text: title }),
    el(
      "div",
      { class: "figure-pair" },
      el("div", {}, armKey("legacy"), legacy),
      el("div", {}, armKey("candidate"), candidate),
    ),
    sample,
  );
  return {
    node,
    update(one, other, said) {
      setText(legacy, one);
      setText(candidate, other);
      setText(sample, said);
    },
  };
}

function tile(title, name) {
  const figure = el("span", { class: "figure", data: { arm: "both" } });
  const sample = el("p", { class: "muted small-text" });
  const node = el(
    "div",
    { class: "tile", data: { figure: name }, role: "group", "aria-label": title },
    el("h3", { text: title }),
    el(
      "div",
      { class: "figure-pair" },
      el("div", {}, el("span", { class: "arm", text: "both arms" }), figure),
    ),
    sample,
  );
  return {
    node,
    update(value, said) {
      setText(figure, value);
      setText(sample, said);
    },
  };
}
