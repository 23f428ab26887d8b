// The audit trail, for supervisors: who looked at what and did what. Newest first.
import { ask } from "./api.js";
import { h, put } from "./dom.js";
import { exactly, number, t, when, word } from "./i18n.js";

// What a line is about: ids as they are, the rest in words.
const SAID = { outcome: (value) => word("outcome", value), found: (value) => t("trail.found", { count: number(value) }) };
const aboutOf = (about) => Object.entries(about).map(([name, value]) => SAID[name]?.(value) ?? value).join(" · ");

export class TrailPage {
  constructor(shell) {
    this.shell = shell;
    this.lines = h("tbody");
    this.element = h("div", { class: "sheetpage" }, h("h1", {}, t("trail.title")), h("p", { class: "small" }, t("trail.say")),
      h("div", { class: "scroll", tabindex: 0, role: "region", "aria-label": t("trail.title") }, h("table", { class: "trail" }, h("thead", {}, h("tr", {}, ["time", "user", "what", "about"].map((name) => h("th", { scope: "col" }, t(`trail.${name}`))))), this.lines)));
  }

  async show() {
    try {
      const { lines } = await ask("/api/trail");
      put(this.lines, lines.map(({ at, entry }) => {
        const { user, session, what, ...about } = entry;
        return h("tr", {}, h("td", { title: when(Date.parse(at)) }, exactly(Date.parse(at))), h("td", {}, user || "—"), h("td", {}, word("did", what)), h("td", { class: "mono" }, aboutOf(about)));
      }));
    } catch (error) {
      this.shell.say(error);
    }
  }
}
