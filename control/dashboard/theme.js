// Light or dark: the system's wish, unless the person at the page chose otherwise. Loaded before
// the first paint, so that a chosen theme does not flash.

const KEY = "cutover-theme";
const system = window.matchMedia("(prefers-color-scheme: dark)");

apply(stored());

/** Makes `button` turn dark on and off; `changed` is called after each change, by whomever. */
export function bindTheme(button, changed) {
  const refresh = () => {
    button.setAttribute("aria-pressed", String(isDark()));
    changed();
  };
  button.addEventListener("click", () => {
    const wanted = isDark() ? "light" : "dark";
    // Choosing what the system wants anyway means following it again.
    const choice = (wanted === "dark") === system.matches ? null : wanted;
    store(choice);
    apply(choice);
    refresh();
  });
  system.addEventListener("change", refresh);
  refresh();
}

function isDark() {
  return (document.documentElement.dataset.theme ?? (system.matches ? "dark" : "light")) === "dark";
}

function apply(choice) {
  if (choice) document.documentElement.dataset.theme = choice;
  else delete document.documentElement.dataset.theme;
}

function stored() {
  try {
    const choice = localStorage.getItem(KEY);
    return choice === "dark" || choice === "light" ? choice : null;
  } catch {
    return null; // Storage can be forbidden; the system's wish stands then.
  }
}

function store(choice) {
  try {
    if (choice) localStorage.setItem(KEY, choice);
    else localStorage.removeItem(KEY);
  } catch {
    // Forbidden storage: the choice lasts until the page is closed.
  }
}
