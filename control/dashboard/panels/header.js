// The top line, the headline, the title of the tab, and what a screen reader is told when the
// state turns.

import { el, setClass, setText, show } from "../dom.js";
import { clock, counted, methodName, rate, share, span, weight } from "../format.js";
import { PHASES, pill, worstPhase } from "./words.js";

/** The header. `update(state)` on each status, `connection(info)` on each tick. */
export class Header {
  #name = document.getElementById("name");
  #headline = document.getElementById("headline");
  #announcer = document.getElementById("announcer");
  #taken = document.getElementById("taken");
  #connection = document.getElementById("connection");
  #phase = pill("large");
  #connectionPill = pill();
  #said = null;

  constructor() {
    document.getElementById("phase").append(this.#phase.node);
    this.#connection.append(this.#connectionPill.node);
    this.#phase.update({ word: "Waiting", icon: "wait", tone: "plain" });
    this.#connectionPill.update({ word: "Connecting", icon: "wait", tone: "plain" });
  }

  update(state) {
    const phase = worstPhase(state.ramps);
    const entry = phase ? PHASES[phase] : { word: "No ramp", icon: "pause", tone: "plain" };
    setText(this.#name, state.name || "unnamed");
    this.#phase.update(entry);
    this.#phase.node.dataset.phase = phase ?? "none";
    setText(this.#headline, headline(state, phase));
    setClass(this.#headline, `headline ${entry.tone}`);
    setText(
      this.#taken,
      `State of ${clock(state.atMs, state.atMs)} · generation ${state.generation} · ` +
        `epoch ${state.epoch}`,
    );
    const alarm = phase === "degraded" ? "⚠ " : "";
    document.title = `${alarm}${entry.word} · ${state.name || "unnamed"} · Cutover`;
    this.#announce(state, phase);
  }

  /** `live`, and since when the stream is lost. */
  connection({ live, sinceMs, why, now }) {
    document.documentElement.dataset.connection = live ? "live" : "lost";
    if (live) {
      this.#connectionPill.update({ word: "Live", icon: "check", tone: "good" });
      return;
    }
    const text = `Lost since ${clock(sinceMs, now)} (${span(now - sinceMs)}), reconnecting`;
    this.#connectionPill.update({ icon: "warn", tone: "bad" }, text);
    this.#connectionPill.node.title = why;
  }

  #announce(state, phase) {
    const turn = state.ramps
      .map((ramp) => `${ramp.scope} ${ramp.phase} ${ramp.weightBp}`)
      .join("; ");
    if (this.#said !== null && this.#said !== turn) {
      setText(this.#announcer, headline(state, phase));
    }
    this.#said = turn;
  }
}

/** A note under a panel's title that shows only while there is something to say. */
export function note() {
  const node = el("p", { class: "note", hidden: true });
  return {
    node,
    say(text) {
      setText(node, text);
      show(node, text !== "");
    },
  };
}

// One or two sentences that a person woken at night can act on.
function headline(state, phase) {
  if (phase === null) return `No ramp: the manifest pins every weight. ${answered(state)}`;
  if (state.ramps.length === 1) return `${alone(state, state.ramps[0])} ${answered(state)}`;
  const inPhase = state.ramps.filter((ramp) => ramp.phase === phase);
  const names = inPhase
    .slice(0, 3)
    .map((ramp) => methodName(ramp.scope))
    .join(", ");
  const more = inPhase.length > 3 ? ` and ${inPhase.length - 3} more` : "";
  const reason = inPhase.find((ramp) => ramp.reason)?.reason ?? "";
  const of = `${inPhase.length} of ${counted(state.ramps.length, "ramp")}`;
  switch (phase) {
    case "degraded":
      return (
        `Rolled back: ${names}${more}. The legacy answers there; it stays so until a ` +
        `person resumes. ${reason}`
      );
    case "paused":
      return `Paused: ${names}${more}. The weight stays where it is. ${reason}`;
    case "healthy":
      return `At the last step: ${names}${more}. ${answered(state)}`;
    default:
      return reason === ""
        ? `Moving up: ${of}. ${answered(state)}`
        : `Held at weight 0: ${heldNames(inPhase)}. The evidence speaks against the candidate.`;
  }
}

function heldNames(ramps) {
  const held = ramps.filter((ramp) => ramp.reason !== "").map((ramp) => methodName(ramp.scope));
  return held.slice(0, 3).join(", ") + (held.length > 3 ? ` and ${held.length - 3} more` : "");
}

function alone(state, ramp) {
  const at = `${methodName(ramp.scope)} at ${weight(ramp.weightBp)}`;
  const steps = state.stepsBp.length;
  const step =
    ramp.step < 0 ? `before the first of ${steps} steps` : `step ${ramp.step + 1} of ${steps}`;
  switch (ramp.phase) {
    case "degraded":
      return `Rolled back: ${at}. It stays so until a person resumes.`;
    case "paused":
      return `Paused: ${at}, ${step}.`;
    case "healthy":
      return `At the last step: ${at}.`;
    default:
      if (ramp.reason !== "") return `Held: ${at}. The evidence speaks against the candidate.`;
      return ramp.verdict.kind === "advance"
        ? `Moving up: ${at}, ${step}; every gate is passed.`
        : `Moving up: ${at}, ${step}; waiting for evidence.`;
  }
}

function answered(state) {
  let all = 0;
  let candidate = 0;
  for (const method of state.methods) {
    candidate += method.arms.candidate.callsPerSecond;
    all += method.arms.candidate.callsPerSecond + method.arms.legacy.callsPerSecond;
  }
  if (all === 0) return "No calls in the last 10 s.";
  return `The candidate answers ${share(candidate, all)} of ${rate(all)} calls/s.`;
}
