// The proxies: whether each holds the newest route table, and when it was last heard.

import { el, keyed, setAttr, setText, show } from "../dom.js";
import { ago } from "../format.js";
import { pill } from "./words.js";

// A proxy that has not reported this long is called silent.
const SILENT_MS = 10000;

/** The panel. */
export class Proxies {
  #list = el("ul", { class: "proxies" });
  #empty = el("p", { class: "empty", text: "No proxy has connected yet." });

  constructor() {
    document.getElementById("proxies-body").append(this.#empty, this.#list);
  }

  update(state, now) {
    show(this.#empty, state.proxies.length === 0);
    const items = state.proxies.map((proxy) => ({ proxy, now, requested: state.generation }));
    keyed(this.#list, items, (item) => item.proxy.instance, createProxy);
  }
}

function createProxy({ proxy: first }) {
  const state = pill();
  const table = el("span", { data: { field: "generation" } });
  const heard = el("span", { class: "muted" });
  const error = el("pre", { class: "bad-text" });
  const version = el("span", { class: "muted" });
  const node = el(
    "li",
    { class: "proxy", data: { instance: first.instance } },
    el(
      "div",
      { class: "proxy-head" },
      el("strong", { text: first.host || first.instance.slice(0, 8) }),
      el("code", {
        class: "muted",
        title: first.instance,
        text: `${first.instance.slice(0, 8)} …`,
      }),
      version,
      state.node,
    ),
    el("p", { class: "proxy-line" }, table, heard),
    error,
  );
  return {
    node,
    update({ proxy, now, requested }) {
      state.update(condition(proxy, now, requested));
      setText(version, `version ${proxy.version || "unknown"}`);
      setText(table, `generation requested ${requested}, applied ${proxy.applied}`);
      setText(heard, `last report ${ago(proxy.reportedMs, now)}`);
      setText(error, proxy.error);
      show(error, proxy.error !== "");
      setAttr(node, "data-connected", String(proxy.connected));
    },
  };
}

function condition(proxy, now, requested) {
  if (!proxy.connected) return { word: "Not connected", icon: "cross", tone: "bad" };
  if (proxy.error) return { word: "Table refused", icon: "cross", tone: "bad" };
  if (proxy.applied !== requested) return { word: "Behind", icon: "wait", tone: "warn" };
  if (proxy.reportedMs > 0 && now - proxy.reportedMs > SILENT_MS) {
    return { word: "Silent", icon: "warn", tone: "warn" };
  }
  return { word: "In step", icon: "check", tone: "good" };
}
