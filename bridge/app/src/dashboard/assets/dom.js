// The few words for the document that every view uses. Nothing is written that has not changed: focus, selections and
// screen readers are left alone by a look that brought no news.

/** An element with attributes and children. */
export function h(name, attributes = {}, ...children) {
  const node = document.createElement(name);
  for (const [key, value] of Object.entries(attributes)) {
    node.setAttribute(key, value);
  }
  node.append(...children);
  return node;
}

/** Sets a node's text, if it is another one. */
export function text(node, value) {
  if (node.textContent !== value) {
    node.textContent = value;
  }
}

/** Sets an attribute, if it has another value; null takes it away. */
export function attribute(node, name, value) {
  if (value === null) {
    node.removeAttribute(name);
  } else if (node.getAttribute(name) !== value) {
    node.setAttribute(name, value);
  }
}

/** Makes `parent` hold one child for each item, in order. A child lives as long as its item's key. */
export function keyed(parent, items, keyOf, make, update) {
  const present = new Map([...parent.children].map((child) => [child.dataset.key, child]));
  const wanted = items.map((item) => {
    const key = keyOf(item);
    const child = present.get(key) ?? make(item);
    child.dataset.key = key;
    present.delete(key);
    update?.(child, item);
    return child;
  });
  for (const child of present.values()) {
    child.remove();
  }
  wanted.forEach((child, index) => {
    if (parent.children[index] !== child) {
      parent.insertBefore(child, parent.children[index] ?? null);
    }
  });
}

const ICONS = { ok: "✓", warn: "▲", bad: "✖", unknown: "?", none: "…" };

/** Shows a level by its icon as well as by its colour. */
export function level(node, name) {
  attribute(node, "data-level", name);
  const icon = node.querySelector(".icon");
  if (icon) {
    text(icon, ICONS[name]);
  }
}

/** A cell that can have a level: icon, a figure, and a line beneath. */
export function cell(name = "td", attributes = {}) {
  return h(
    name,
    attributes,
    h("span", { class: "figure" }, h("span", { class: "icon", "aria-hidden": "true" }), " ", h("data")),
    h("span", { class: "beneath" }),
  );
}

/** Fills such a cell. `value` is the bare number, for whoever reads the page with a program. */
export function fill(node, { level: name = "ok", figure, value = null, beneath = "" }) {
  level(node, name);
  const data = node.querySelector("data");
  text(data, figure);
  attribute(data, "value", value === null ? null : String(value));
  text(node.querySelector(".beneath"), beneath);
}

/** A site's name, which may go on in the next line behind its colon and nowhere else. */
export function siteName(name) {
  const [cloud, region] = name.split(/(?<=:)/);
  return [cloud, h("wbr"), region ?? ""];
}
