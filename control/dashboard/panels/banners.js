// What must not be overlooked: a manifest that was refused, a store that is away, overrides in force, a proxy that
// refuses its table, a lost connection. Each says who or what, why, and how to end it.

import { el, keyed, setClass, setText, show } from "../dom.js";
import { icon, setIcon } from "../icons.js";
import { ago, clock, methodName, weight } from "../format.js";
import { resetCommand } from "../commands.js";
import { commandLine } from "./command.js";

/** The banners above the panels. */
export class Banners {
  #root = document.getElementById("banners");
  #lost = null;

  /** Whether the connection is lost; a refused token has a form of its own. */
  connection(info) {
    this.#lost = info.live || info.refused ? null : info;
  }

  update(state, now) {
    const all = [];
    if (this.#lost) {
      all.push({
        key: "lost",
        tone: "bad",
        icon: "warn",
        title: "Connection lost",
        text: state
          ? `The figures below are from ${clock(state.atMs, now)} and no longer move. ` +
            "Calls go on: proxies keep the last table they hold."
          : "No status has come yet. Is the control plane running?",
      });
    }
    if (state?.manifestError) {
      all.push({
        key: "manifest",
        tone: "bad",
        icon: "warn",
        title: "The manifest on disk is refused; the one before stays in force",
        pre: state.manifestError,
        command: "cutover check -f cutover.yaml",
      });
    }
    if (state?.store.error) {
      all.push({
        key: "store",
        tone: "bad",
        icon: "warn",
        title: `Store unavailable since ${clock(state.store.awaySinceMs, now)}`,
        text:
          "Calls go on and are counted. No ramp goes ahead; what is decided meanwhile is saved " +
          `when ${state.store.location} is back.`,
        pre: state.store.error,
      });
    }
    for (const override of state?.overrides ?? []) {
      all.push({
        key: `override ${override.scope}`,
        tone: "warn",
        icon: "hand",
        title: `Override: ${methodName(override.scope)} at ${weight(override.weightBp)}`,
        text:
          `Set by ${override.who || "somebody unnamed"} at ${clock(override.atMs, now)} ` +
          `(${ago(override.atMs, now)}): ${override.why || "no reason given"}`,
        command: resetCommand(
          override.scope,
          state.methods.map((m) => m.method),
        ),
      });
    }
    for (const proxy of state?.proxies ?? []) {
      if (proxy.error) {
        all.push({
          key: `proxy ${proxy.instance}`,
          tone: "bad",
          icon: "warn",
          title: `Proxy ${proxy.host || proxy.instance} refused its route table`,
          pre: proxy.error,
        });
      }
    }
    keyed(this.#root, all, (banner) => banner.key, createBanner);
  }
}

function createBanner(first) {
  const mark = icon(first.icon);
  const title = el("strong");
  const text = el("p");
  const pre = el("pre");
  const command = el("div");
  let shown = null;
  const node = el(
    "div",
    { role: first.tone === "bad" ? "alert" : "note", data: { banner: first.key.split(" ")[0] } },
    mark,
    el("div", { class: "banner-body" }, title, text, pre, command),
  );
  return {
    node,
    update(banner) {
      setClass(node, `banner ${banner.tone}`);
      setIcon(mark, banner.icon);
      setText(title, banner.title);
      setText(text, banner.text ?? "");
      setText(pre, banner.pre ?? "");
      show(text, Boolean(banner.text));
      show(pre, Boolean(banner.pre));
      if (banner.command !== shown) {
        shown = banner.command;
        command.replaceChildren(...(shown ? [commandLine(shown)] : []));
      }
    },
  };
}
