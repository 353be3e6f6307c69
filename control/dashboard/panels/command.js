// A command to paste into a terminal, with a button that copies it.

import { el, setText } from "../dom.js";

// How long the button says what became of a click.
const SAID_MS = 1500;

/** The command with its button. */
export function commandLine(command) {
  const code = el("code", { text: command });
  const button = el("button", {
    class: "button small",
    type: "button",
    "aria-label": `Copy: ${command}`,
    text: "Copy",
  });
  button.addEventListener("click", async () => {
    setText(button, (await copied(command, code)) ? "Copied" : "Press Ctrl+C");
    setTimeout(() => setText(button, "Copy"), SAID_MS);
  });
  return el("div", { class: "command" }, code, button);
}

// The clipboard is open to secure pages only (HTTPS or localhost); elsewhere the text is selected.
async function copied(command, code) {
  try {
    await navigator.clipboard.writeText(command);
    return true;
  } catch {
    getSelection().selectAllChildren(code);
    return false;
  }
}
