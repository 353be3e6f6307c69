// Numbers, times and names as people read them. Every number leaves here with its unit.

const STATUS_NAMES = [
  "OK",
  "CANCELLED",
  "UNKNOWN",
  "INVALID_ARGUMENT",
  "DEADLINE_EXCEEDED",
  "NOT_FOUND",
  "ALREADY_EXISTS",
  "PERMISSION_DENIED",
  "RESOURCE_EXHAUSTED",
  "FAILED_PRECONDITION",
  "ABORTED",
  "OUT_OF_RANGE",
  "UNIMPLEMENTED",
  "INTERNAL",
  "UNAVAILABLE",
  "DATA_LOSS",
  "UNAUTHENTICATED",
];

/** What stands where there is nothing to say yet. */
export const NOTHING = "–";

/** "12,345"; from ten million on "12.3 M". */
export function count(n) {
  if (n >= 1e10) return `${trim(n / 1e9, 3)} G`;
  if (n >= 1e7) return `${trim(n / 1e6, 3)} M`;
  return Math.round(n).toLocaleString("en-US");
}

/** "1 pair", "12,345 pairs". */
export function counted(n, one, many = `${one}s`) {
  return `${count(n)} ${n === 1 ? one : many}`;
}

/** Calls per second without the unit, which the column or the text beside gives. */
export function rate(perSecond) {
  if (perSecond === 0) return "0";
  return perSecond < 0.01 ? "< 0.01" : trim(perSecond, 3);
}

/** "812 µs", "1.24 ms", "3.1 s". */
export function micros(us) {
  const size = Math.abs(us);
  if (size < 1000) return `${trim(us, 3)} µs`;
  if (size < 1e6) return `${trim(us / 1000, 3)} ms`;
  return `${trim(us / 1e6, 3)} s`;
}

/** "45 s", "9 min 12 s", "2 h 5 min", "3 d 4 h". */
export function span(ms) {
  const s = Math.max(0, Math.round(ms / 1000));
  if (s < 60) return `${s} s`;
  if (s < 3600) return two(Math.floor(s / 60), "min", s % 60, "s");
  if (s < 86400) return two(Math.floor(s / 3600), "h", Math.floor((s % 3600) / 60), "min");
  return two(Math.floor(s / 86400), "d", Math.floor((s % 86400) / 3600), "h");
}

/** A weight: "10 %", "0.01 %". */
export function weight(basisPoints) {
  return `${trim(basisPoints / 100, 5)} %`;
}

/** s of n in percent; what is above nothing is never shown as 0 %. */
export function share(s, n) {
  if (n === 0) return NOTHING;
  const percent = (100 * s) / n;
  if (percent === 0) return "0 %";
  if (percent < 0.001) return "< 0.001 %";
  if (percent < 100 && percent > 99.99) return "> 99.99 %";
  return `${trim(percent, percent < 1 ? 2 : 3)} %`;
}

/** "0.21×", or nothing where there is no base. */
export function ratio(candidate, legacy) {
  if (!(legacy > 0) || !(candidate > 0)) return NOTHING;
  return `${trim(candidate / legacy, 2)}×`;
}

/** "84.2 MiB". */
export function bytes(n) {
  if (n >= 2 ** 30) return `${trim(n / 2 ** 30, 3)} GiB`;
  if (n >= 2 ** 20) return `${trim(n / 2 ** 20, 3)} MiB`;
  return `${trim(n / 1024, 3)} KiB`;
}

/** "0.42", under a title that says "cores". */
export function coreCount(n) {
  return trim(n, n < 1 ? 2 : 3);
}

/** "0.42 cores". */
export function cores(n) {
  const shown = coreCount(n);
  return `${shown} ${shown === "1" ? "core" : "cores"}`;
}

/** "14:02:11" in UTC, with the date in front if it is not the day of `now`. */
export function clock(ms, now) {
  if (!ms) return NOTHING;
  const text = new Date(ms).toISOString();
  const time = text.slice(11, 19);
  const today = new Date(now).toISOString().slice(0, 10);
  return text.slice(0, 10) === today ? time : `${text.slice(0, 10)} ${time}`;
}

/** "12 s ago". */
export function ago(ms, now) {
  return ms ? `${span(now - ms)} ago` : NOTHING;
}

/** An e-value or threshold from its natural logarithm: "3.2", "20", "> 10⁶". */
export function evidence(log) {
  if (log > Math.log(1e6)) return "> 1,000,000";
  const value = Math.exp(log);
  if (value < 0.01) return "< 0.01";
  return value >= 100 ? count(value) : trim(value, 2);
}

/** "/a.b.C/Get" → "Get"; "*" → "all methods". */
export function methodName(path) {
  if (path === "*") return "all methods";
  const slash = path.lastIndexOf("/");
  return slash >= 0 && slash < path.length - 1 ? path.slice(slash + 1) : path;
}

/** "/a.b.C/Get" → "a.b.C". */
export function serviceName(path) {
  const parts = path.split("/");
  return parts.length === 3 ? parts[1] : "";
}

/** "NOT_FOUND" for 5. */
export function statusName(code) {
  return STATUS_NAMES[code] ?? `code ${code}`;
}

/** "error_rate" → "error rate". */
export function words(name) {
  return String(name).replaceAll("_", " ");
}

// Significant digits, without an exponent and without zeros at the end.
function trim(n, digits) {
  if (!Number.isFinite(n)) return NOTHING;
  if (Math.abs(n) >= 10 ** digits) return Math.round(n).toLocaleString("en-US");
  return String(Number(n.toPrecision(digits)));
}

function two(a, aUnit, b, bUnit) {
  return b === 0 ? `${a} ${aUnit}` : `${a} ${aUnit} ${b} ${bUnit}`;
}
