// The way to the control plane: the event stream with its reconnection, and the other resources.
// Leaves all showing to others.

import { decodeStatus } from "./decode.js";
import { authorized } from "./token.js";

// The stream sends about once a second; silent this long, it counts as lost.
const STALL_MS = 6000;
// Pause before the next attempt, doubled after each that fails.
const RETRY_FIRST_MS = 500;
const RETRY_LAST_MS = 5000;
// Longest status that is taken, characters.
const EVENT_MAX = 32 << 20;
// How long one request for a resource may take.
const REQUEST_MS = 10000;

/** Reads one resource as JSON; `parameters` that are empty are left out. */
export async function fetchJson(path, parameters = {}) {
  const query = new URLSearchParams(
    Object.entries(parameters).filter(([, value]) => value !== "" && value !== false),
  ).toString();
  const response = await fetch(query ? `${path}?${query}` : path, {
    headers: authorized({ accept: "application/json" }),
    cache: "no-store",
    signal: AbortSignal.timeout(REQUEST_MS),
  });
  if (!response.ok) throw new Error(`${path} answered ${response.status} ${response.statusText}`);
  return response.json();
}

/**
 * Follows the status. `status(state)` gets each; `connection({ live, sinceMs, why, refused })` each
 * change. The stream is read with fetch, since an EventSource can't send a token.
 */
export class Source {
  #status;
  #connection;
  #stream = null;
  #retryMs = RETRY_FIRST_MS;
  #heardMs = 0;
  #said = "";
  #timer = 0;

  constructor({ status, connection }) {
    this.#status = status;
    this.#connection = connection;
  }

  start() {
    this.open();
    // A laptop that wakes or a network that returns should not wait for the next attempt.
    window.addEventListener("online", () => this.open());
    document.addEventListener("visibilitychange", () => {
      if (!document.hidden && this.#said !== "live") this.open();
    });
  }

  /** Opens the stream now; one that was open ends. */
  async open() {
    this.#stream?.abort();
    const stream = new AbortController();
    this.#stream = stream;
    this.#watchStall(stream);
    try {
      const response = await fetch("/api/events", {
        headers: authorized({ accept: "text/event-stream" }),
        cache: "no-store",
        signal: stream.signal,
      });
      if (response.status === 401) this.#lost(stream, "the token is missing or wrong", true);
      if (!response.ok) throw new Error(`the control plane answered ${response.status}`);
      for await (const text of statuses(response.body)) {
        if (this.#stream !== stream) return;
        this.#heard(stream, decodeStatus(JSON.parse(text)));
      }
      this.#lost(stream, "the stream ended");
    } catch (error) {
      this.#lost(stream, error.message);
    }
  }

  #heard(stream, state) {
    this.#heardMs = Date.now();
    this.#retryMs = RETRY_FIRST_MS;
    this.#say("live", { live: true, sinceMs: this.#heardMs, why: "", refused: false });
    this.#watchStall(stream);
    this.#status(state);
  }

  // Only the first word about a stream counts: its end after that is our own doing.
  #lost(stream, why, refused = false) {
    if (this.#stream !== stream) return;
    this.#stream = null;
    stream.abort();
    clearTimeout(this.#timer);
    const sinceMs = this.#heardMs || Date.now();
    this.#say(refused ? "refused" : "lost", { live: false, sinceMs, why, refused });
    this.#timer = setTimeout(() => this.open(), refused ? RETRY_LAST_MS : this.#retryMs);
    this.#retryMs = Math.min(this.#retryMs * 2, RETRY_LAST_MS);
  }

  #watchStall(stream) {
    clearTimeout(this.#timer);
    const why = `nothing came for ${STALL_MS / 1000} s`;
    this.#timer = setTimeout(() => this.#lost(stream, why), STALL_MS);
  }

  #say(word, info) {
    if (this.#said === word) return;
    this.#said = word;
    this.#connection(info);
  }
}

// The data of each `status` event of a stream of server-sent events.
async function* statuses(body) {
  const reader = body.pipeThrough(new TextDecoderStream()).getReader();
  let rest = "";
  for (;;) {
    const { done, value } = await reader.read();
    if (done) return;
    rest += value.replaceAll("\r", "");
    const events = rest.split("\n\n");
    rest = events.pop();
    if (rest.length > EVENT_MAX) throw new Error("a status is too long");
    for (const event of events) {
      const lines = event.split("\n");
      if (!lines.includes("event: status")) continue;
      const data = lines.filter((line) => line.startsWith("data:"));
      yield data.map((line) => line.slice(5)).join("\n");
    }
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
