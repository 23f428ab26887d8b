// Two small plots as SVG: lines of shares over a version, and bars of shares over time. Each says in words what it shows.
import { h, s } from "./dom.js";
import { number } from "./i18n.js";

const [WIDTH, HEIGHT, LEFT, RIGHT, TOP, BOTTOM] = [560, 240, 46, 12, 24, 30];
const DASHES = { model: "", exploration: "6 4", other: "2 3" };

export function lines(series, { x, format, name, empty }) {
  const named = Object.entries(series).filter(([, points]) => points.length > 1);
  if (!named.length) return h("p", { class: "empty" }, empty);
  const all = named.flatMap(([, points]) => points);
  const [first, last] = [Math.min(...all.map(([at]) => at)), Math.max(...all.map(([at]) => at))];
  const top = ceiling(Math.max(...all.map(([, value]) => value)));
  const at = (value) => LEFT + ((value - first) / Math.max(1, last - first)) * (WIDTH - LEFT - RIGHT);
  const up = (value) => HEIGHT - BOTTOM - (value / top) * (HEIGHT - TOP - BOTTOM);
  const said = named.map(([arm, points]) => `${name(arm)} ${format(points[points.length - 1][1])}`).join(", ");
  return h("div", {},
    s("svg", { viewBox: `0 0 ${WIDTH} ${HEIGHT}`, role: "img", "aria-label": said, class: "plot" },
      grid(top, format, up),
      s("text", { x: LEFT, y: HEIGHT - 8 }, number(first)), s("text", { x: WIDTH - RIGHT, y: HEIGHT - 8, "text-anchor": "end" }, `${x} ${number(last)}`),
      named.map(([arm, points]) => s("path", { class: `line ${arm}`, "stroke-dasharray": DASHES[arm], d: points.map(([place, value], index) => `${index ? "L" : "M"}${at(place).toFixed(1)} ${up(value).toFixed(1)}`).join("") }))),
    h("p", { class: "legend" }, named.map(([arm, points]) => h("span", { class: arm }, s("svg", { viewBox: "0 0 26 8", "aria-hidden": "true" }, s("path", { class: `line ${arm}`, "stroke-dasharray": DASHES[arm], d: "M1 4H25" })), `${name(arm)}: ${format(points[points.length - 1][1])}`))));
}

export function bars(values, { format, mark, markName, empty }) {
  if (!values.length) return h("p", { class: "empty" }, empty);
  const top = ceiling(Math.max(...values.map((one) => one.value), mark));
  const up = (value) => HEIGHT - BOTTOM - (value / top) * (HEIGHT - TOP - BOTTOM);
  const step = (WIDTH - LEFT - RIGHT) / Math.max(values.length, 6);
  const said = values.map((one) => one.said).join("; ");
  return h("div", {}, s("svg", { viewBox: `0 0 ${WIDTH} ${HEIGHT}`, role: "img", "aria-label": said, class: "plot" },
    grid(top, format, up),
    values.map((one, place) => s("rect", { class: "bar", x: LEFT + place * step + step * 0.12, width: Math.max(1, step * 0.76), y: up(one.value), height: Math.max(0, HEIGHT - BOTTOM - up(one.value)), rx: 2 }, s("title", {}, one.said))),
    mark ? [s("path", { class: "mark", d: `M${LEFT} ${up(mark)}H${WIDTH - RIGHT}` }), s("text", { x: WIDTH - RIGHT, y: up(mark) - 5, "text-anchor": "end" }, `${markName} ${format(mark)}`)] : null,
    s("text", { x: LEFT, y: HEIGHT - 8 }, values[0].label), values.length > 1 ? s("text", { x: WIDTH - RIGHT, y: HEIGHT - 8, "text-anchor": "end" }, values[values.length - 1].label) : null));
}

function grid(top, format, up) {
  return [0, 0.5, 1].map((part) => [s("path", { class: "grid", d: `M${LEFT} ${up(top * part)}H${WIDTH - RIGHT}` }), s("text", { x: LEFT - 6, y: up(top * part) + 4, "text-anchor": "end" }, format(top * part))]);
}

function ceiling(value) {
  const steps = [0.01, 0.02, 0.04, 0.05, 0.1, 0.2, 0.4, 0.5, 1];
  return steps.find((one) => value <= one) ?? Math.ceil(value);
}
