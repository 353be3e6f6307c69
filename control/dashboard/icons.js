// The icons, as paths in a 16 × 16 box. Each stands beside a word that says the same.

const NAMESPACE = "http://www.w3.org/2000/svg";

const PATHS = {
  advance: "M3 8 H12 M8.5 4 L12.5 8 L8.5 12",
  check: "M3 8.5 L6.5 12 L13 4.5",
  cross: "M4 4 L12 12 M12 4 L4 12",
  back: "M13 12 V9 C13 7 12 6 10 6 H3 M6.5 2.5 L3 6 L6.5 9.5",
  pause: "M5.5 3.5 V12.5 M10.5 3.5 V12.5",
  wait: "M8 4.5 V8 L10.5 9.5 M8 1.8 A6.2 6.2 0 1 1 7.99 1.8",
  warn: "M8 2 L14.5 13.5 H1.5 Z M8 6.5 V9.5 M8 11.4 V11.6",
  hand: "M3 13 L5 9 L11.5 2.5 L13.5 4.5 L7 11 Z",
  unknown: "M5.5 6 C5.5 2.5 10.5 2.5 10.5 6 C10.5 8 8 8 8 10 M8 12.4 V12.6",
};

/** An icon that assistive technology passes over. */
export function icon(name) {
  const svg = document.createElementNS(NAMESPACE, "svg");
  svg.setAttribute("viewBox", "0 0 16 16");
  svg.setAttribute("class", "icon");
  svg.setAttribute("aria-hidden", "true");
  const path = document.createElementNS(NAMESPACE, "path");
  svg.append(path);
  setIcon(svg, name);
  return svg;
}

/** Turns an icon into another. */
export function setIcon(svg, name) {
  const path = PATHS[name] ?? PATHS.unknown;
  if (svg.firstChild.getAttribute("d") !== path) svg.firstChild.setAttribute("d", path);
}
