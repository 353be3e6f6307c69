// From proto3 JSON to whole objects: what JSON leaves out (zero, false, empty, the first of an
// enum) is put back, 64-bit numbers become numbers, arms become names. Panels see only these.

const ARMS = { ARM_LEGACY: "legacy", ARM_CANDIDATE: "candidate" };

/** cutover.v1.Status. */
export function decodeStatus(raw) {
  const from = raw ?? {};
  return {
    name: text(from.name),
    generation: text(from.generation) || "0",
    epoch: text(from.epoch) || "0",
    atMs: number(from.atUnixMs),
    ramps: list(from.ramps).map(ramp),
    methods: list(from.methods).map(method),
    proxies: list(from.proxies).map(proxy),
    overrides: list(from.overrides).map((o) => ({
      scope: text(o.scope),
      weightBp: number(o.weightBp),
      who: text(o.who),
      why: text(o.why),
      atMs: number(o.atUnixMs),
    })),
    processes: list(from.processes).map((p) => ({
      arm: arm(p.arm),
      cpuSeconds: number(p.cpuSeconds),
      cpuCores: number(p.cpuCores),
      memoryBytes: number(p.memoryBytes),
      threads: number(p.threads),
    })),
    manifestError: text(from.manifestError),
    store: {
      location: text(from.store?.location),
      awaySinceMs: number(from.store?.unavailableSinceUnixMs),
      error: text(from.store?.error),
    },
    stepsBp: list(from.stepsBp).map(number),
  };
}

/** cutover.v1.ListDifferencesResponse: its samples. */
export function decodeSamples(raw) {
  return list(raw?.samples).map((s) => ({
    key: `${text(s.traceId)}/${text(s.id)}/${text(s.atUnixMs)}`,
    method: text(s.method),
    traceId: text(s.traceId),
    primary: arm(s.primary),
    atMs: number(s.atUnixMs),
    legacyStatus: number(s.legacyStatus),
    candidateStatus: number(s.candidateStatus),
    dropped: number(s.differencesDropped),
    differences: list(s.differences).map((d) => ({
      path: text(d.path),
      kind: text(d.kind),
      legacy: text(d.legacy),
      candidate: text(d.candidate),
      sufficientRelative: optional(d.sufficientRelative),
    })),
  }));
}

/** cutover.v1.ListTracePairsResponse: its pairs. */
export function decodeTracePairs(raw) {
  return list(raw?.pairs).map((p) => ({
    traceId: text(p.traceId),
    method: text(p.method),
    primary: arm(p.primary),
    atMs: number(p.atUnixMs),
    legacy: list(p.legacy).map(spanSummary),
    candidate: list(p.candidate).map(spanSummary),
    differences: list(p.differences).map(text),
  }));
}

/** cutover.v1.ListDecisionsResponse: its decisions. */
export function decodeDecisions(raw) {
  return list(raw?.decisions).map((d) => ({
    id: text(d.id) || "0",
    atMs: number(d.atUnixMs),
    scope: text(d.scope),
    action: text(d.action),
    fromBp: number(d.fromBp),
    toBp: number(d.toBp),
    who: text(d.who),
    why: text(d.why),
    gates: verdict(d.verdict).gates,
    samples: list(d.samples).map((s) => ({
      traceId: text(s.traceId),
      method: text(s.method),
      atMs: number(s.atUnixMs),
      path: text(s.path),
      kind: text(s.kind),
    })),
  }));
}

/** cutover.v1.GetReportResponse: what the status does not say. */
export function decodeReport(raw) {
  return {
    legacyLatency: quantiles(raw?.legacyLatency),
    candidateLatency: quantiles(raw?.candidateLatency),
  };
}

function ramp(r) {
  return {
    scope: text(r.scope),
    phase: suffix(r.phase, "PHASE_"),
    step: number(r.step),
    weightBp: number(r.weightBp),
    enteredMs: number(r.enteredUnixMs),
    holdMs: number(r.holdMs),
    verdict: verdict(r.verdict),
    reason: text(r.reason),
  };
}

function verdict(v) {
  return {
    kind: suffix(v?.kind, "VERDICT_KIND_"),
    gates: list(v?.gates).map((g) => ({
      name: text(g.name),
      verdict: suffix(g.verdict, "VERDICT_KIND_"),
      reason: text(g.reason),
      n: number(g.n),
      s: number(g.s),
      logE: optional(g.logE),
      logThreshold: optional(g.logThreshold),
      moreCalls: optional(g.moreCalls),
    })),
  };
}

function method(m) {
  const arms = { legacy: armStatus({}), candidate: armStatus({}) };
  for (const one of list(m.arms)) {
    const name = arm(one.arm);
    if (name in arms) arms[name] = armStatus(one);
  }
  const pairs = m.pairs ?? {};
  const traces = m.traces ?? {};
  return {
    method: text(m.method),
    weightBp: number(m.weightBp),
    owner: text(m.weightOwner),
    arms,
    pairs: {
      compared: number(pairs.compared),
      mismatched: number(pairs.mismatched),
      onlyCandidateFailed: number(pairs.onlyCandidateFailed),
      onlyLegacyFailed: number(pairs.onlyLegacyFailed),
      candidateSlower: number(pairs.candidateSlower),
      legacySlower: number(pairs.legacySlower),
      notCompared: counts(pairs.notCompared),
    },
    fields: list(m.fields).map((f) => ({
      path: text(f.path),
      kind: text(f.kind),
      pairs: number(f.pairs),
      noisy: f.noisy === true,
    })),
    traces: {
      compared: number(traces.compared),
      mismatched: number(traces.mismatched),
      incomplete: counts(traces.incomplete),
      operations: list(traces.operations).map((o) => ({
        key: text(o.key),
        legacyCalls: number(o.legacyCalls),
        candidateCalls: number(o.candidateCalls),
        moreInCandidate: number(o.moreInCandidate),
        moreInLegacy: number(o.moreInLegacy),
        legacyErrors: number(o.legacyErrors),
        candidateErrors: number(o.candidateErrors),
        legacySelfUs: number(o.legacySelfUs),
        candidateSelfUs: number(o.candidateSelfUs),
        nPlusOne: o.nPlusOne === true,
      })),
    },
  };
}

function armStatus(a) {
  return {
    calls: number(a.calls),
    failures: number(a.failures),
    byStatus: counts(a.byStatus),
    latency: quantiles(a.latency),
    shadowCalls: number(a.shadowCalls),
    callsPerSecond: number(a.callsPerSecond),
  };
}

function proxy(p) {
  return {
    instance: text(p.instance),
    host: text(p.host),
    version: text(p.version),
    applied: text(p.appliedGeneration) || "0",
    error: text(p.error),
    connected: p.connected === true,
    reportedMs: number(p.reportedUnixMs),
  };
}

function spanSummary(s) {
  return {
    spanId: text(s.spanId),
    depth: number(s.depth),
    name: text(s.name),
    key: text(s.key),
    startUs: number(s.startUs),
    durationUs: number(s.durationUs),
    error: s.error === true,
  };
}

function quantiles(q) {
  return {
    count: number(q?.count),
    p50: number(q?.p50Us),
    p90: number(q?.p90Us),
    p99: number(q?.p99Us),
  };
}

function counts(map) {
  return Object.entries(map ?? {})
    .map(([name, n]) => ({ name, n: number(n) }))
    .filter((c) => c.n > 0)
    .sort((a, b) => b.n - a.n);
}

function list(value) {
  return Array.isArray(value) ? value : [];
}

function text(value) {
  return value === undefined || value === null ? "" : String(value);
}

function number(value) {
  const n = Number(value ?? 0);
  return Number.isFinite(n) ? n : 0;
}

function optional(value) {
  return value === undefined || value === null ? null : Number(value);
}

function arm(value) {
  return ARMS[value] ?? "unknown arm";
}

function suffix(value, prefix) {
  const name = text(value);
  return name.startsWith(prefix) ? name.slice(prefix.length).toLowerCase() : "unspecified";
}
