// One card for each ramp: phase, weight in force, the steps with the hold, the verdict with its
// gates, and what to do next.

import { el, keyed, setAttr, setClass, setText, show } from "../dom.js";
import { clock, counted, methodName, serviceName, span, weight } from "../format.js";
import { nextStep } from "../commands.js";
import { commandLine } from "./command.js";
import { gateList } from "./gates.js";
import { PHASES, VERDICTS, pill } from "./words.js";

// Gates are open from the start while there are only a few ramps.
const OPEN_UP_TO = 2;

/** The cards, worst phase first. */
export class Ramps {
  #root = document.getElementById("ramps");

  update(state, now) {
    const order = Object.keys(PHASES);
    const ramps = [...state.ramps].sort((a, b) => order.indexOf(a.phase) - order.indexOf(b.phase));
    setClass(this.#root, ramps.length > 1 ? "ramps many" : "ramps");
    const items = ramps.map((ramp) => ({
      ramp,
      now,
      stepsBp: [0, ...state.stepsBp],
      override: state.overrides.find((o) => o.scope === ramp.scope || o.scope === "*"),
      methods: state.methods.map((method) => method.method),
      revision: state.generation,
      few: ramps.length <= OPEN_UP_TO,
    }));
    keyed(this.#root, items, (item) => item.ramp.scope, createRamp);
  }
}

function createRamp(first) {
  const phase = pill();
  const verdict = pill();
  const big = el("span", { class: "weight", data: { field: "weight" } });
  const reason = el("p", { class: "reason" });
  const steps = el("ol", { class: "steps", "aria-label": "Steps of the ramp" });
  const hold = holdBar();
  const gates = gateList();
  const summary = el("summary", {}, el("span", { class: "summary-words" }), verdict.node);
  const details = el("details", {}, summary, gates.node);
  const sentence = el("p");
  const commands = el("div", { class: "commands" });
  const overridden = el("p", { class: "overridden" });
  let shown = "";
  let lastPhase = null;
  const service = serviceName(first.ramp.scope);
  const node = el(
    "article",
    {
      class: "card ramp",
      data: { scope: first.ramp.scope },
      "aria-label": `Ramp of ${methodName(first.ramp.scope)}`,
    },
    el(
      "header",
      {},
      el(
        "div",
        {},
        el("h3", { text: methodName(first.ramp.scope) }),
        el("p", { class: "muted small-text", text: service }),
      ),
      el(
        "div",
        { class: "weight-box" },
        big,
        el("span", { class: "muted small-text", text: "to the candidate" }),
      ),
      phase.node,
    ),
    el(
      "div",
      { class: "ramp-body" },
      el("div", { class: "ramp-state" }, reason, overridden, steps, hold.node, details),
      el("div", { class: "next" }, el("h4", { text: "What to do next" }), sentence, commands),
    ),
  );
  details.open = first.few;
  return {
    node,
    update({ ramp, now, stepsBp, override, methods, revision }) {
      phase.update(PHASES[ramp.phase] ?? PHASES.unspecified);
      verdict.update(VERDICTS[ramp.verdict.kind] ?? VERDICTS.unspecified);
      setClass(node, `card ramp ${PHASES[ramp.phase]?.tone ?? "warn"}`);
      node.dataset.phase = ramp.phase;
      setText(big, weight(ramp.weightBp));
      setText(reason, ramp.reason);
      show(reason, ramp.reason !== "");
      setText(
        overridden,
        override
          ? `Override in force: ${weight(override.weightBp)} instead of the ramp's weight.`
          : "",
      );
      show(overridden, Boolean(override));
      updateSteps(steps, ramp, stepsBp);
      hold.update(ramp, now);
      const passed = ramp.verdict.gates.filter((gate) => gate.verdict === "advance").length;
      setText(
        summary.firstChild,
        ramp.verdict.gates.length === 0
          ? "No gate has been asked yet"
          : `${passed} of ${counted(ramp.verdict.gates.length, "gate")} passed`,
      );
      gates.update(ramp.verdict.gates);
      // A ramp that just went wrong opens itself; what a person closed stays closed after that.
      if (ramp.phase !== lastPhase && ramp.phase === "degraded") details.open = true;
      lastPhase = ramp.phase;
      const more = Math.max(0, ...ramp.verdict.gates.map((gate) => gate.moreCalls ?? 0));
      const next = nextStep(ramp, more, methods, revision);
      setText(sentence, next.sentence);
      if (next.commands.join("\n") !== shown) {
        shown = next.commands.join("\n");
        commands.replaceChildren(...next.commands.map(commandLine));
      }
    },
  };
}

function updateSteps(list, ramp, stepsBp) {
  const exact = stepsBp.indexOf(ramp.weightBp);
  const current = exact >= 0 ? exact : Math.min(ramp.step + 1, stepsBp.length - 1);
  const items = stepsBp.map((basisPoints, index) => ({ basisPoints, index, current }));
  keyed(
    list,
    items,
    (item) => `${item.index} ${item.basisPoints}`,
    ({ basisPoints }) => {
      const said = el("span", { class: "visually-hidden" });
      const node = el(
        "li",
        {},
        el("span", { class: "dot", "aria-hidden": "true" }),
        el("span", { class: "step-weight", text: weight(basisPoints) }),
        said,
      );
      return {
        node,
        update(item) {
          const now = item.index === item.current;
          const state = now ? "in force" : item.index < item.current ? "passed" : "to come";
          setClass(node, state.replace(" ", "-"));
          setAttr(node, "aria-current", now ? "step" : null);
          setText(said, ` ${state}`);
        },
      };
    },
  );
}

function holdBar() {
  const text = el("span");
  const bar = el("div", { class: "bar-fill" });
  const track = el("div", { class: "bar", "aria-hidden": "true" }, bar);
  const node = el("div", { class: "hold", data: { field: "hold" } }, text, track);
  return {
    node,
    update(ramp, now) {
      const passed = Math.max(0, now - ramp.enteredMs);
      const entered = `At this step since ${clock(ramp.enteredMs, now)} (${span(passed)})`;
      const left = ramp.holdMs - passed;
      const moving = ramp.phase === "progressing" && ramp.holdMs > 0;
      show(track, moving);
      show(node, ramp.enteredMs > 0);
      if (moving) bar.style.width = `${Math.min(100, (100 * passed) / ramp.holdMs)}%`;
      if (!moving) setText(text, entered);
      else if (left > 0)
        setText(text, `${entered}; hold of ${span(ramp.holdMs)}: ${span(left)} left`);
      else setText(text, `${entered}; hold of ${span(ramp.holdMs)} is over`);
    },
  };
}
