// Lines over time, drawn by uPlot in the page's own colours. The figures of the last point stand
// beside the chart as text, so nothing is said by the picture alone.

import uPlot from "./vendor/uplot/uPlot.esm.js";
import { el, setAttr, setText } from "./dom.js";

const HEIGHT_PX = 150;
const FONT = "11px system-ui, sans-serif";
const probe = document.createElement("span");

/**
 * A chart with a title. `series`: `[{ label, color, dash, width, fill }]`, colours named as in
 * style.css; `format(value)` gives a number its unit.
 */
export class Chart {
  #plot = null;
  #series;
  #format;
  #range;
  #holder;
  #legend;
  #figure;
  #title;

  constructor({ title, series, format, range }) {
    this.#series = series;
    this.#format = format;
    this.#range = range;
    this.#title = title;
    this.#holder = el("div", { class: "chart-canvas" });
    this.#legend = series.map((one) => el("span", { class: "chart-value" }));
    const legend = el("p", { class: "chart-legend" });
    series.forEach((one, i) => {
      const key = el("span", { class: `chart-key ${one.color}${one.dash ? " dashed" : ""}` });
      legend.append(el("span", {}, key, `${one.label} `, this.#legend[i]));
    });
    this.#figure = el(
      "div",
      { class: "chart", role: "group", "aria-label": title },
      el("h3", { text: title }),
      legend,
      this.#holder,
    );
    new ResizeObserver(() => this.#resize()).observe(this.#holder);
  }

  get node() {
    return this.#figure;
  }

  /** Draws the columns; the last point also goes into the legend. */
  update(columns, notes = []) {
    if (!this.#plot) this.#draw(columns);
    else this.#plot.setData(columns);
    this.#series.forEach((one, i) => {
      const column = columns[i + 1];
      const last = column[column.length - 1];
      const value = last === null || last === undefined ? "–" : this.#format(last);
      setText(this.#legend[i], notes[i] ? `${value} ${notes[i]}` : value);
    });
    setAttr(this.#holder, "aria-hidden", "true");
  }

  /** Draws again with the colours in force now. */
  recolor() {
    if (!this.#plot) return;
    const columns = this.#plot.data;
    this.#plot.destroy();
    this.#draw(columns);
  }

  #draw(columns) {
    const muted = color("muted");
    const axis = {
      stroke: muted,
      font: FONT,
      grid: { stroke: color("line"), width: 1 },
      ticks: { show: false },
    };
    const options = {
      width: Math.max(120, this.#holder.clientWidth),
      height: HEIGHT_PX,
      legend: { show: false },
      cursor: { show: false },
      select: { show: false },
      tzDate: (seconds) => uPlot.tzDate(new Date(seconds * 1000), "Etc/UTC"),
      scales: { x: { time: true }, y: { range: this.#range } },
      axes: [
        { ...axis, size: 24, space: 70, values: (_, ticks) => ticks.map(hourMinuteSecond) },
        { ...axis, size: 62, space: 34, values: (_, ticks) => ticks.map(this.#format) },
      ],
      series: [
        {},
        ...this.#series.map((one) => ({
          stroke: color(one.color),
          width: one.width ?? 2,
          dash: one.dash,
          points: { show: false },
          spanGaps: false,
        })),
      ],
    };
    this.#plot = new uPlot(options, columns, this.#holder);
  }

  #resize() {
    const width = this.#holder.clientWidth;
    if (this.#plot && width > 0 && width !== this.#plot.width) {
      this.#plot.setSize({ width, height: HEIGHT_PX });
    }
  }
}

function hourMinuteSecond(seconds) {
  return new Date(seconds * 1000).toISOString().slice(11, 19);
}

// A canvas takes no CSS variables; the browser resolves them through an element.
function color(name) {
  if (!probe.isConnected) {
    probe.hidden = true;
    document.body.append(probe);
  }
  probe.style.color = `var(--${name})`;
  return getComputedStyle(probe).color;
}
