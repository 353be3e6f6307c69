// What the page remembers of the past: one bounded series of points, oldest dropped first.

// Points kept: an hour at one a second.
const POINTS_MAX = 3600;

/** Columns of numbers over time; the first column is the time in seconds. */
export class History {
  #columns;

  constructor(width) {
    this.#columns = Array.from({ length: width + 1 }, () => []);
  }

  /** Adds a point; null in a column leaves a gap. A point not newer than the last is left out. */
  add(seconds, values) {
    const times = this.#columns[0];
    if (times.length > 0 && seconds <= times[times.length - 1]) return;
    [seconds, ...values].forEach((value, i) => this.#columns[i].push(value));
    if (times.length > POINTS_MAX) this.#columns.forEach((column) => column.shift());
  }

  /** The columns, as uPlot takes them. */
  get columns() {
    return this.#columns;
  }
}
