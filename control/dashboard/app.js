// Starts the page: the source feeds the panels, a clock moves what depends on the time alone.

import { decodeReport } from "./decode.js";
import { show } from "./dom.js";
import { fetchJson, Poll, Source } from "./source.js";
import { bindTheme } from "./theme.js";
import { bindToken } from "./token.js";
import { Banners } from "./panels/banners.js";
import { Charts } from "./panels/charts.js";
import { Decisions } from "./panels/decisions.js";
import { Differences } from "./panels/differences.js";
import { Figures } from "./panels/figures.js";
import { Header } from "./panels/header.js";
import { Methods } from "./panels/methods.js";
import { Operations } from "./panels/operations.js";
import { Processes } from "./panels/processes.js";
import { Proxies } from "./panels/proxies.js";
import { Ramps } from "./panels/ramps.js";
import { Traces } from "./panels/traces.js";

const REPORT_EVERY_MS = 5000;
const TICK_MS = 1000;

const header = new Header();
const banners = new Banners();
const figures = new Figures();
const ramps = new Ramps();
const charts = new Charts();
const methods = new Methods();
const operations = new Operations();
const traces = new Traces();
const differences = new Differences((id, method) => traces.show(id, method));
const processes = new Processes();
const proxies = new Proxies();
const decisions = new Decisions();

const tokenForm = document.getElementById("token");

let state = null;
let report = null;
let link = null;
// The control plane's clock minus ours, so that ages and holds are right on a laptop that is late.
let clockOffsetMs = 0;

const source = new Source({
  status(next) {
    state = next;
    if (next.atMs > 0) clockOffsetMs = next.atMs - Date.now();
    header.update(next);
    banners.update(next, now());
    figures.update(next, report);
    ramps.update(next, now());
    charts.update(next, report);
    methods.update(next);
    differences.update(next);
    operations.update(next);
    traces.update(next);
    processes.update(next);
    proxies.update(next, now());
    decisions.update(next);
  },
  connection(info) {
    if (!info.live && state) charts.gap(Math.round(now() / 1000));
    link = info;
    show(tokenForm, info.refused);
    if (info.live) for (const panel of [reports, traces, decisions]) panel.now();
    tell();
  },
});

const reports = new Poll(async () => {
  try {
    report = decodeReport(await fetchJson("/api/report"));
  } catch {
    report = null; // The tiles say "not reported yet"; the stream says whether anything is lost.
  }
}, REPORT_EVERY_MS);

bindToken(tokenForm, () => source.open());
bindTheme(document.getElementById("theme"), () => charts.recolor());
source.start();
reports.start();
traces.start();
decisions.start();
setInterval(tell, TICK_MS);

// What changes without a new status: how long the connection has been lost.
function tell() {
  if (!link) return;
  const shown = { ...link, sinceMs: link.sinceMs + clockOffsetMs, now: now() };
  header.connection(shown);
  banners.connection(shown);
  banners.update(state, now());
}

function now() {
  return Date.now() + clockOffsetMs;
}
