// Building and updating the page. Owns the only ways by which text and lists reach the document:
// text nodes and attributes, never markup, so whatever a service sends stays text.

// Longest text shown in one place; what is beyond is counted, not shown.
const TEXT_MAX = 2000;

// Code points that have no shape of their own or turn the text around them.
const UNSEEN = new RegExp(
  "[\\u0000-\\u0009\\u000b-\\u001f\\u007f-\\u009f\\u00ad\\u061c\\u200b-\\u200f\\u2028-\\u202e" +
    "\\u2060-\\u206f\\ufeff\\ufff9-\\ufffb]",
  "g",
);

/** The text with control and direction characters written out, and cut at its bound. */
export function visible(text) {
  const raw = String(text ?? "");
  const kept = raw.length > TEXT_MAX ? raw.slice(0, TEXT_MAX) : raw;
  const escaped = kept.replace(
    UNSEEN,
    (c) => `\\u${c.charCodeAt(0).toString(16).padStart(4, "0")}`,
  );
  return raw.length > TEXT_MAX ? `${escaped}… (${raw.length - TEXT_MAX} more characters)` : escaped;
}

/**
 * Makes an element. `properties`: `class`, `text`, `data` (dataset), `on` (listeners); the rest are
 * attributes. Children are nodes or strings.
 */
export function el(tag, properties = {}, ...children) {
  const node = document.createElement(tag);
  for (const [name, value] of Object.entries(properties)) {
    if (name === "class") node.className = value;
    else if (name === "text") node.textContent = visible(value);
    else if (name === "data") Object.assign(node.dataset, value);
    else if (name === "on") {
      for (const [event, listener] of Object.entries(value)) node.addEventListener(event, listener);
    } else setAttr(node, name, value);
  }
  node.append(...children);
  return node;
}

/** Sets the text if it changed, so that a selection or a screen reader is not disturbed. */
export function setText(node, text) {
  const shown = visible(text);
  if (node.textContent !== shown) node.textContent = shown;
}

/** Sets an attribute if it changed; null or false removes it. */
export function setAttr(node, name, value) {
  if (value === null || value === undefined || value === false) {
    if (node.hasAttribute(name)) node.removeAttribute(name);
    return;
  }
  const shown = value === true ? "" : String(value);
  if (node.getAttribute(name) !== shown) node.setAttribute(name, shown);
}

/** Sets a class name if it changed. */
export function setClass(node, name) {
  if (node.className !== name) node.className = name;
}

/** Shows or hides. */
export function show(node, wanted) {
  if (node.hidden === wanted) node.hidden = !wanted;
}

const views = new WeakMap();

/**
 * Makes the children of `parent` follow `items`: one view `{ node, update(item) }` for each key,
 * made once by `create(item)`, kept while its key is there, moved only when the order changed.
 * Children up to and with `behind` (a table's head) are left alone.
 */
export function keyed(parent, items, key, create, behind = null) {
  const before = views.get(parent) ?? new Map();
  const after = new Map();
  let place = behind ? behind.nextSibling : parent.firstChild;
  for (const item of items) {
    const id = key(item);
    if (after.has(id)) continue;
    const view = before.get(id) ?? create(item);
    before.delete(id);
    after.set(id, view);
    view.update(item);
    if (view.node === place) place = place.nextSibling;
    else parent.insertBefore(view.node, place);
  }
  for (const gone of before.values()) gone.node.remove();
  views.set(parent, after);
}

let lastId = 0;

/** An id for `aria-controls` and `aria-labelledby`, unique in the page. */
export function freshId(prefix) {
  lastId += 1;
  return `${prefix}-${lastId}`;
}

/** A button that opens and closes `target`; calls `opened` each time it opens. */
export function disclosure(target, label, opened = () => {}) {
  if (!target.id) target.id = freshId("more");
  const button = el("button", {
    class: "disclosure",
    type: "button",
    "aria-expanded": "false",
    "aria-controls": target.id,
    "aria-label": label,
  });
  target.hidden = true;
  button.addEventListener("click", () => {
    const open = target.hidden;
    target.hidden = !open;
    button.setAttribute("aria-expanded", String(open));
    if (open) opened();
  });
  return button;
}
