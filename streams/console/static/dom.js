// Elements from plain values. Text goes in as text nodes only: nothing that officers, carriers or couriers wrote is
// ever read as HTML (and the page's Trusted Types policy refuses innerHTML altogether).
// Marks that turn the reading direction would let a lodger show officers other text than was lodged: they are shown.
const SVG = "http://www.w3.org/2000/svg";

const TURNS = /[\u061C\u200E\u200F\u202A-\u202E\u2066-\u2069]/g;

export const plain = (text) => String(text).replace(TURNS, (mark) => `[U+${mark.codePointAt(0).toString(16).toUpperCase().padStart(4, "0")}]`);

export function h(tag, props = {}, ...children) {
  return fill(document.createElement(tag), props, children);
}

export function s(tag, props = {}, ...children) {
  return fill(document.createElementNS(SVG, tag), props, children);
}

function fill(element, props, children) {
  for (const [name, value] of Object.entries(props ?? {})) {
    if (value === undefined || value === null || value === false) continue;
    if (name.startsWith("on")) element.addEventListener(name.slice(2), value);
    else if (name === "style") for (const [key, one] of Object.entries(value)) element.style.setProperty(key, one);
    else if (name === "value" || name === "checked") element[name] = value;
    else element.setAttribute(name, value === true ? "" : String(value));
  }
  append(element, children);
  return element;
}

export function append(element, children) {
  for (const child of children.flat(Infinity)) {
    if (child === undefined || child === null || child === false) continue;
    element.append(child instanceof Node ? child : document.createTextNode(plain(child)));
  }
}

export function put(element, ...children) {
  element.replaceChildren();
  append(element, children);
  return element;
}

// These children and no others. Those that are there already stay where they are, and so does the focus in them.
export function arrange(element, ...children) {
  const wanted = children.filter(Boolean);
  for (const child of [...element.childNodes]) if (!wanted.includes(child)) child.remove();
  let place = element.firstChild;
  for (const child of wanted) {
    if (child === place) place = place.nextSibling;
    else element.insertBefore(child, place);
  }
}

// What others wrote, in a line with words of ours: its letters may run the other way, ours stay where they are.
export const lodged = (text) => h("bdi", {}, text);
