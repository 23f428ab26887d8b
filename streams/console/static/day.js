// The centre's day: the two figures that everyone watches, where they come from, and how the models learn.
import { ask, me } from "./api.js";
import { h, put } from "./dom.js";
import { number, percent, shortWhen, t, word } from "./i18n.js";
import { bars, lines } from "./plots.js";

const EVERY_MS = 10000;

export class DayPage {
  constructor(shell) {
    this.shell = shell;
    this.live = shell.live;
    this.body = h("div", { class: "day" });
    this.element = h("div", { class: "sheetpage" }, h("h1", {}, t("day.title")), this.body);
    put(this.body, h("p", { class: "empty" }, t("reading")));
    this.live.addEventListener("state", () => {
      if (this.shown && this.live.state === "live") this.#read();
    }, { signal: shell.built });
  }

  show() {
    this.shown = true;
    this.#read();
  }

  hide() {
    this.shown = false;
    clearTimeout(this.timer);
  }

  async #read() {
    clearTimeout(this.timer);
    try {
      this.#draw(await ask("/api/day"));
    } catch (error) {
      if (this.live.state !== "lost") this.shell.say(error); // the page says that it is cut off, and asks again
    }
    if (this.shown) this.timer = setTimeout(() => this.#read(), EVERY_MS);
  }

  #draw(day) {
    const points = Object.entries(day.points).sort(([a], [b]) => (a < b ? -1 : 1));
    const sum = (name) => points.reduce((all, [, point]) => all + (point[name] ?? 0), 0);
    const [items, selected, inspected, seizures, finds, capacity] = ["items", "selected", "inspected", "seizures", "finds", "capacity"].map(sum);
    const tile = (name, value, said) => h("div", { class: "tile" }, h("h2", {}, t(`day.${name}`)), h("p", { class: "big" }, value), h("p", { class: "small" }, said));
    const table = (caption, head, rows, said) => h("div", { class: "scroll", tabindex: 0, role: "region", "aria-label": t(caption) }, h("table", {}, h("caption", {}, t(caption), said ? h("small", {}, said) : null), h("thead", {}, h("tr", {}, head.map((name, place) => h("th", { scope: "col", class: place ? "n" : "" }, t(name))))), h("tbody", {}, rows.length ? rows : h("tr", {}, h("td", { colspan: head.length }, t("day.none"))))));
    const rate = (part, whole) => (whole ? percent(part / whole) : "—");
    const layers = Object.entries(day.layers).sort(([, a], [, b]) => b.selected - a.selected);
    const criteria = Object.entries(day.criteria).sort(([, a], [, b]) => b.inspected - a.inspected);
    const scroll = this.element.scrollTop;
    put(this.body,
      h("div", { class: "tiles" },
        tile("coverage", rate(selected, items), t("day.coverage.say", { selected: number(selected), items: number(items) })),
        tile("seizures", rate(seizures, inspected), t("day.seizures.say", { seizures: number(seizures), inspected: number(inspected) })),
        tile("finds", rate(finds, inspected), t("day.finds.say", { finds: number(finds) })),
        tile("capacity", capacity ? percent(selected / capacity, 0) : "—", t("day.capacity.say", { selected: number(selected), capacity: number(capacity) })),
        tile("model", number(day.model_version), t("day.model.say"))),
      h("div", { class: "plots" },
        h("figure", {}, h("figcaption", {}, h("h2", {}, t("day.curve")), h("p", { class: "small" }, t("day.curve.say", { rolling: day.rolling }))), lines(day.curves, { x: t("day.model"), format: (value) => percent(value, 0), name: (arm) => t(`arm.${arm}`), empty: t("day.curve.none") })),
        h("figure", {}, h("figcaption", {}, h("h2", {}, t("day.hours")), h("p", { class: "small" }, t("day.hours.say"))), bars(day.hours.map((hour) => ({ label: shortWhen(hour.at), value: hour.items ? hour.selected / hour.items : 0, said: `${shortWhen(hour.at)}: ${rate(hour.selected, hour.items)} (${number(hour.selected)} / ${number(hour.items)})` })), { format: (value) => percent(value), mark: items ? capacity / items : 0, markName: t("day.capacity.mark"), empty: t("day.hours.none") }))),
      table("day.points", ["day.point", "day.items", "day.selected", "day.coverage", "day.capacity", "day.inspected", "day.seizures"],
        points.map(([name, one]) => h("tr", {}, h("th", { scope: "row" }, name, h("small", {}, ` ${me.points[name]?.title ?? ""}`)), [number(one.items), number(one.selected), rate(one.selected, one.items), gauge(one.capacity ? one.selected / one.capacity : 0), number(one.inspected), rate(one.seizures, one.inspected)].map((value) => h("td", { class: "n" }, value))))),
      table("day.layers", ["day.layer", "day.selected", "day.inspected", "day.seizures.n", "day.seizures"],
        layers.map(([name, one]) => h("tr", {}, h("th", { scope: "row" }, word("layer", name)), [number(one.selected), number(one.inspected), number(one.seizures), rate(one.seizures, one.inspected)].map((value) => h("td", { class: "n" }, value)))), t("day.layers.say")),
      criteria.length ? table("day.criteria", ["day.criterion", "day.inspected", "day.seizures.n", "day.seizures"],
        criteria.map(([name, one]) => h("tr", {}, h("th", { scope: "row" }, one.title, h("small", {}, ` ${name} v${one.version}`)), [number(one.inspected), number(one.seizures), rate(one.seizures, one.inspected)].map((value) => h("td", { class: "n" }, value))))) : null);
    this.element.scrollTop = scroll;
  }
}

function gauge(share) {
  return h("span", { class: "gauge" }, h("i", { "aria-hidden": "true", class: share > 1.1 ? "over" : "", style: { "--share": `${Math.min(1, share) * 100}%` } }), percent(share, 0));
}
