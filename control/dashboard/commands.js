// What to do next, as a sentence and as commands to copy into a terminal.

import { count, methodName } from "./format.js";

const PLAIN = /^[A-Za-z0-9_./][A-Za-z0-9_./-]*$/;

/**
 * The next step for a ramp: `{ sentence, commands }`. `more`: calls still wanted; `methods`: paths
 * of all methods, among which the ramp's may be named in short; `revision`: generation of the state
 * that is shown, on which what lets calls go to the candidate is based.
 */
export function nextStep(ramp, more, methods, revision) {
  const scope = ramp.scope === "*" ? "" : ` --scope ${shellWord(short(ramp.scope, methods))}`;
  const pause = `cutover pause${scope} --why "…"`;
  const abort = `cutover abort${scope} --why "…"`;
  const resume = `cutover resume${scope} --revision ${revision} --why "…"`;
  const promote = `cutover promote${scope} --revision ${revision} --why "…"`;
  if (ramp.phase === "degraded") {
    return {
      sentence:
        "The legacy answers these calls. Read the reason and the differences, mend the " +
        "candidate, then resume: the ramp starts again from weight 0.",
      commands: ["cutover report", resume],
    };
  }
  if (ramp.phase === "paused") {
    return {
      sentence: "The weight stays where it is until somebody resumes or aborts.",
      commands: [resume, abort],
    };
  }
  if (ramp.reason !== "") {
    return {
      sentence:
        "Nothing is at risk: the legacy answers these calls. Mend the candidate and deploy it; a " +
        "new service.version begins the evidence anew, and so does a resume.",
      commands: ["cutover report", resume],
    };
  }
  if (ramp.verdict.kind === "rollback") {
    return {
      sentence: "The evidence says the candidate is worse. Unless you know better, go back now.",
      commands: [abort, pause],
    };
  }
  if (ramp.phase === "healthy") {
    return {
      sentence: "Nothing. The candidate is at the last step; the way back stays open.",
      commands: [abort],
    };
  }
  if (ramp.verdict.kind === "advance") {
    return {
      sentence: "Nothing. Every gate is passed; the next step follows when the hold is over.",
      commands: [pause, promote, abort],
    };
  }
  const wanted = more > 0 ? ` (about ${count(more)} more calls)` : "";
  return {
    sentence: `Nothing. The ramp waits for evidence${wanted}. If something looks wrong:`,
    commands: [pause, abort],
  };
}

/** The command that ends an override. */
export function resetCommand(scope, methods) {
  const which = scope === "*" ? "--all" : shellWord(short(scope, methods));
  return `cutover weight ${which} --reset --why "…"`;
}

// The method alone where no other service has one of the same name.
function short(scope, methods) {
  const name = methodName(scope);
  return methods.filter((path) => methodName(path) === name).length > 1 ? scope : name;
}

// Methods come from a manifest; a name that a shell would read otherwise is quoted, since the
// command is made to be pasted.
function shellWord(word) {
  return PLAIN.test(word) ? word : `'${word.replaceAll("'", "'\\''")}'`;
}
