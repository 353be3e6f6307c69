// The way to the control plane: the event stream with its reconnection, and the other resources.
// Leaves all showing to others.

import { decodeStatus } from "./decode.js";

// The stream sends about once a second; silent this long, it counts as lost.
const STALL_MS = 6000;
// Pause before the next attempt, doubled after each that fails.
const RETRY_FIRST_MS = 500;
const RETRY_LAST_MS = 5000;
// How long one request for a resource may take.
const REQUEST_MS = 10000;

/** Reads one resource as JSON; `parameters` that are empty are left out. */
export async function fetchJson(path, parameters = {}) {
  const query = new URLSearchParams(
    Object.entries(parameters).filter(([, value]) => value !== "" && value !== false),
  ).toString();
  const response = await fetch(query ? `${path}?${query}` : path, {
    headers: { accept: "application/json" },
    cache: "no-store",
    signal: AbortSignal.timeout(REQUEST_MS),
  });
  if (!response.ok) throw new Error(`${path} answered ${response.status} ${response.statusText}`);
  return response.json();
}

/** Follows the status. `status(state)` gets each; `connection({ live, sinceMs })` each change. */
export class Source {
  #status;
  #connection;
  #stream = null;
  #retryMs = RETRY_FIRST_MS;
  #heardMs = 0;
  #live = null;
  #stall = 0;

  constructor({ status, connection }) {
    this.#status = status;
    this.#connection = connection;
  }

  start() {
    this.#open();
    // A laptop that wakes or a network that returns should not wait for the next attempt.
    window.addEventListener("online", () => this.#reopen());
    document.addEventListener("visibilitychange", () => {
      if (!document.hidden && !this.#live) this.#reopen();
    });
  }

  #open() {
    const stream = new EventSource("/api/events");
    this.#stream = stream;
    this.#watchStall();
    stream.addEventListener("status", (event) => {
      let state;
      try {
        state = decodeStatus(JSON.parse(event.data));
      } catch (error) {
        this.#lost(`a status could not be read: ${error.message}`);
        return;
      }
      this.#heardMs = Date.now();
      this.#retryMs = RETRY_FIRST_MS;
      this.#say(true, this.#heardMs, "");
      this.#watchStall();
      this.#status(state);
    });
    stream.addEventListener("error", () => this.#lost("the stream ended"));
  }

  #lost(why) {
    clearTimeout(this.#stall);
    this.#stream?.close();
    this.#stream = null;
    this.#say(false, this.#heardMs || Date.now(), why);
    this.#stall = setTimeout(() => this.#open(), this.#retryMs);
    this.#retryMs = Math.min(this.#retryMs * 2, RETRY_LAST_MS);
  }

  #reopen() {
    clearTimeout(this.#stall);
    this.#stream?.close();
    this.#open();
  }

  #watchStall() {
    clearTimeout(this.#stall);
    this.#stall = setTimeout(
      () => this.#lost(`nothing came for ${STALL_MS / 1000} s`),
      STALL_MS,
    );
  }

  #say(live, sinceMs, why) {
    if (this.#live === live) return;
    this.#live = live;
    this.#connection({ live, sinceMs, why });
  }
}

/** Asks for a resource again and again while the page is seen; never two requests at once. */
export class Poll {
  #ask;
  #everyMs;
  #timer = 0;
  #busy = false;
  #again = false;

  /** `ask` shows its own errors; when it returns false, the poll rests until the next `now()`. */
  constructor(ask, everyMs) {
    this.#ask = ask;
    this.#everyMs = everyMs;
  }

  start() {
    this.now();
    document.addEventListener("visibilitychange", () => {
      if (!document.hidden) this.now();
    });
  }

  /** Asks at once, or directly after the request that is under way. */
  async now() {
    if (this.#busy) {
      this.#again = true;
      return;
    }
    clearTimeout(this.#timer);
    this.#busy = true;
    let go;
    try {
      if (!document.hidden) go = await this.#ask();
    } finally {
      this.#busy = false;
      const soon = this.#again;
      this.#again = false;
      if (soon || go !== false) {
        this.#timer = setTimeout(() => this.now(), soon ? 0 : this.#everyMs);
      }
    }
  }
}
