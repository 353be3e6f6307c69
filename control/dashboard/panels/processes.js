// What both arms' processes use, side by side.

import { el, setText, show } from "../dom.js";
import { bytes, cores, count, NOTHING, ratio } from "../format.js";
import { armKey } from "./words.js";

const ROWS = [
  { key: "cpuCores", title: "CPU, lately", shown: cores, compare: true },
  { key: "memoryBytes", title: "Memory", shown: bytes, compare: true },
  { key: "threads", title: "Threads", shown: count, compare: true },
  { key: "cpuSeconds", title: "CPU time used", shown: (s) => `${count(s)} s` },
];

/** The panel. */
export class Processes {
  #cells = new Map();
  #table;
  #empty = el("p", {
    class: "empty",
    text: "Neither arm has sent process metrics yet (OTLP: process.cpu.time, process.memory.usage).",
  });

  constructor() {
    const body = el("tbody");
    for (const row of ROWS) {
      const cells = ["legacy", "candidate", "ratio"].map((name) =>
        el("td", { class: "number", data: { label: name, arm: name } }),
      );
      this.#cells.set(row.key, cells);
      body.append(
        el(
          "tr",
          { data: { process: row.key } },
          el("th", { scope: "row", text: row.title }),
          ...cells,
        ),
      );
    }
    this.#table = el(
      "table",
      { class: "plain-table" },
      el("caption", { class: "visually-hidden", text: "CPU and memory of both arms" }),
      el(
        "thead",
        {},
        el(
          "tr",
          {},
          el("th", { scope: "col", text: "Use" }),
          el("th", { scope: "col", class: "number" }, armKey("legacy")),
          el("th", { scope: "col", class: "number" }, armKey("candidate")),
          el("th", { scope: "col", class: "number", text: "ratio", title: "candidate ÷ legacy" }),
        ),
      ),
      body,
    );
    document.getElementById("processes-body").append(this.#empty, this.#table);
  }

  update(state) {
    show(this.#empty, state.processes.length === 0);
    show(this.#table, state.processes.length > 0);
    const [legacy, candidate] = ["legacy", "candidate"].map((arm) =>
      state.processes.find((process) => process.arm === arm),
    );
    for (const row of ROWS) {
      const [one, other, both] = this.#cells.get(row.key);
      setText(one, legacy ? row.shown(legacy[row.key]) : NOTHING);
      setText(other, candidate ? row.shown(candidate[row.key]) : NOTHING);
      setText(
        both,
        row.compare && legacy && candidate ? ratio(candidate[row.key], legacy[row.key]) : "",
      );
    }
  }
}
