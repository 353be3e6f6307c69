// The words and icons for phases, verdicts, actions and owners: one place, so that every panel
// says the same thing the same way.

import { el, setClass, setText } from "../dom.js";
import { icon, setIcon } from "../icons.js";

/** Phases, worst first. */
export const PHASES = {
  degraded: { word: "Rolled back", icon: "back", tone: "bad" },
  paused: { word: "Paused", icon: "pause", tone: "warn" },
  progressing: { word: "Progressing", icon: "advance", tone: "info" },
  healthy: { word: "Healthy", icon: "check", tone: "good" },
  unspecified: { word: "Phase unknown", icon: "unknown", tone: "warn" },
};

/** Verdicts of a whole ramp. */
export const VERDICTS = {
  advance: { word: "Advance", icon: "check", tone: "good" },
  wait: { word: "Wait", icon: "wait", tone: "plain" },
  rollback: { word: "Roll back", icon: "warn", tone: "bad" },
  unspecified: { word: "No verdict", icon: "unknown", tone: "plain" },
};

/** Verdicts of one gate. */
export const GATES = {
  advance: { word: "Passed", icon: "check", tone: "good" },
  wait: { word: "Waiting", icon: "wait", tone: "plain" },
  rollback: { word: "Failed", icon: "cross", tone: "bad" },
  unspecified: { word: "Not said", icon: "unknown", tone: "plain" },
};

/** Actions of the decision log. */
export const ACTIONS = {
  advance: { word: "Advanced", icon: "advance", tone: "good" },
  rollback: { word: "Rolled back", icon: "back", tone: "bad" },
  hold: { word: "Held at 0", icon: "pause", tone: "warn" },
  pause: { word: "Paused", icon: "pause", tone: "warn" },
  resume: { word: "Resumed", icon: "advance", tone: "info" },
  promote: { word: "Promoted", icon: "advance", tone: "info" },
  abort: { word: "Aborted", icon: "back", tone: "bad" },
  override: { word: "Overridden", icon: "hand", tone: "warn" },
  reset: { word: "Override ended", icon: "hand", tone: "info" },
  manifest: { word: "Manifest", icon: "check", tone: "plain" },
};

/** Who decides a weight. */
export const OWNERS = {
  ramp: "by the ramp",
  manifest: "pinned by the manifest",
  override: "overridden by an operator",
};

/** Why a pair was not compared. */
export const NOT_COMPARED = {
  queue_full: "copies came faster than they could be sent",
  over_bound: "larger than the bounds on messages and memory",
  deadline: "no whole answer within the mirror's deadline",
  cancelled: "the client went away",
  connect: "the other arm could not be connected to",
  descriptors: "neither arm's answer can be read by the descriptors, which are out of date",
  no_descriptor: "no descriptor has the method",
  comparer_failed: "the comparison failed",
};

/** The worst phase of all ramps, or null without a ramp. */
export function worstPhase(ramps) {
  const order = Object.keys(PHASES);
  return (
    ramps
      .map((ramp) => (ramp.phase in PHASES ? ramp.phase : "unspecified"))
      .sort((a, b) => order.indexOf(a) - order.indexOf(b))[0] ?? null
  );
}

/** A pill: icon and word, toned. `update(entry)` turns it into another. */
export function pill(extra = "") {
  const mark = icon("unknown");
  const word = el("span");
  const node = el("span", {}, mark, word);
  return {
    node,
    update(entry, text = entry.word) {
      setClass(node, `pill ${entry.tone} ${extra}`.trim());
      setIcon(mark, entry.icon);
      setText(word, text);
    },
  };
}

/** "■ legacy" or "◆ candidate": the arms are told apart by shape and word, not by colour alone. */
export function armKey(arm) {
  return el(
    "span",
    { class: `arm ${arm}` },
    el("span", { class: "arm-mark", "aria-hidden": "true", text: arm === "legacy" ? "■" : "◆" }),
    ` ${arm}`,
  );
}
