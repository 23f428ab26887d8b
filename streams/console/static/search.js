// Recent decisions by what people know: a waybill, a manifest, a consignee, a document. Released items too.
import { ask, me } from "./api.js";
import { criterion, facts, reasonText, scored, section, weightOf } from "./detail.js";
import { h, put } from "./dom.js";
import { number, percent, shortWhen, t, when, word } from "./i18n.js";

export class SearchPage {
  constructor(shell) {
    this.shell = shell;
    this.text = h("input", { type: "search", id: "search", required: true, minlength: 3, maxlength: 200, autocomplete: "off", spellcheck: "false", placeholder: t("search.hint") });
    this.found = h("div", { class: "found", role: "status" });
    this.one = h("article", { class: "detail", tabindex: -1, "aria-label": t("search.decision") });
    this.element = h("div", { class: "searching" },
      h("section", { class: "left" },
        h("h1", {}, t("search.title")),
        h("form", { role: "search", onsubmit: (event) => { event.preventDefault(); this.#search(); } },
          h("label", { for: "search", class: "unseen" }, t("search.hint")), this.text, h("button", { class: "primary" }, t("search.go"))),
        h("p", { class: "small" }, t("search.say")),
        this.found),
      this.one);
    put(this.one, h("div", { class: "nothing" }, h("p", {}, t("search.none.open"))));
  }

  show() { this.text.focus(); }
  escape() { this.element.classList.remove("reading"); }

  key(key) {
    if (key !== "/") return false;
    this.text.focus();
    return true;
  }

  async act(path, body) {
    try { return await ask(path, body); } catch (error) { this.shell.say(error); return null; }
  }

  async #search() {
    const answer = await this.act("/api/search", { text: this.text.value });
    if (!answer) return;
    if (!answer.searched) return put(this.found, h("p", { class: "empty" }, t("search.short")));
    if (!answer.found.length) return put(this.found, h("p", { class: "empty" }, t("search.nothing", { kept: number(answer.kept) })));
    put(this.found, h("p", { class: "small" }, t("search.count", { count: number(answer.found.length) })), h("ul", { class: "hits" }, answer.found.map((one) => this.#hit(one))));
  }

  #hit(one) {
    const verdict = one.selected ? word("lane", one.ln) : t("released");
    return h("li", {}, h("button", { type: "button", onclick: (event) => this.#open(one, event.currentTarget) },
      h("span", { class: `chip lane ${one.selected ? one.ln : "green"}` }, verdict), h("b", {}, one.ref), h("small", {}, `${one.cp} · ${word("stream", one.st)} · ${shortWhen(one.at)}`)));
  }

  async #open(one, button) {
    for (const other of this.found.querySelectorAll("[aria-current]")) other.removeAttribute("aria-current");
    button.setAttribute("aria-current", "true");
    const answer = await this.act(`/api/decisions/${one.partition}/${one.offset}`);
    if (!answer) return;
    const { decision } = answer;
    const verdict = verdictOf(decision);
    const reasons = (decision.reasons ?? []).map((reason) => h("li", { class: reason.code === "remainder" ? "rest" : "" }, reasonText(reason), h("span", { class: "weight" }, weightOf(reason))));
    this.element.classList.add("reading");
    put(this.one,
      h("button", { type: "button", class: "back plain", onclick: () => this.escape() }, "← ", t("back")),
      h("header", {}, h("div", { class: "line" }, h("h2", {}, decision.item_id)), h("p", { class: "lead" }, verdict),
        h("p", { class: "chips" }, h("span", { class: `chip lane ${decision.lane}` }, word("lane", decision.lane)), h("span", { class: "chip" }, decision.control_point), one.alert ? h("a", { class: "chip hot", href: `#queue/${encodeURIComponent(one.alert)}` }, t("search.alert")) : null)),
      reasons.length ? section("why", h("ol", { class: "reasons two" }, reasons)) : null,
      answer.criteria.length ? section("criteria", answer.criteria.map((held) => criterion(held, { cp: decision.control_point, decision: decision.decision_id }, this))) : null,
      section("lineage", facts([
        ["lineage.decision", decision.decision_id], ["lineage.source", `${decision.origin.topic} [${decision.origin.partition}] ${decision.origin.offset}`], ["lineage.lodgement", decision.origin.lodgement_id],
        ["lineage.model", decision.model_version], ["lineage.criteria", decision.criteria_version ?? 0], ["lineage.risk", decision.risk_information_version ?? 0], ["lineage.policy", decision.policy_version],
        ["lineage.chance", percent(decision.propensity, 3)], ["lineage.time", when(Date.parse(decision.lodged_at))]], true)),
      section("lodged", answer.lodgement ? h("pre", { class: "raw", tabindex: 0 }, JSON.stringify(answer.lodgement, null, 2)) : h("p", {}, t("lodged.gone")), me.handles ? null : h("p", { class: "small" }, t("names.hidden"))));
    this.one.focus({ preventScroll: true });
    this.one.scrollTop = 0;
  }
}

// Above the bar and released all the same: its control point had no inspection left for it.
function verdictOf(decision) {
  if (decision.selected) return t("search.selected", { layer: word("layer", decision.layer), lane: word("lane", decision.lane) });
  if (decision.auto_cleared) return t("search.cleared");
  const about = scored(decision);
  const reached = (decision.rank ?? decision.score) >= decision.threshold;
  return t(reached ? "search.released-spent" : about.rank === about.score ? "search.released" : "search.released-ranked", about);
}
