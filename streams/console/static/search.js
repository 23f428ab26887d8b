// Recent decisions by what people know: a waybill, a manifest, a consignee, a document. Released items too.
import { ask, me } from "./api.js";
import { criterion, facts, reasonText, scored, section, weightOf } from "./detail.js";
import { h, put } from "./dom.js";
import { number, shortWhen, t, when, word } from "./i18n.js";

export class SearchPage {
  constructor(shell) {
    this.shell = shell;
    this.text = h("input", { type: "search", id: "search", required: true, minlength: 3, maxlength: 200, autocomplete: "off", spellcheck: "false", placeholder: t("search.hint") });
    this.said = h("div", { role: "status" }); // how many: who listens to the page is not read all of them
    this.hits = h("div");
    this.alerts = {}; // of the decisions that were found
    this.one = h("article", { class: "detail", tabindex: -1, "aria-label": t("search.decision") });
    this.element = h("div", { class: "searching" },
      h("section", { class: "left" },
        h("h1", {}, t("search.title")),
        h("form", { role: "search", onsubmit: (event) => { event.preventDefault(); this.#search(); } },
          h("label", { for: "search", class: "unseen" }, t("search.hint")), this.text, h("button", { class: "primary" }, t("search.go"))),
        h("p", { class: "small" }, t("search.say")),
        h("div", { class: "found" }, this.said, this.hits)),
      this.one);
    put(this.one, h("div", { class: "nothing" }, h("p", {}, t("search.none.open"))));
  }

  // The decision that is open is in the address: Back leads to what was found.
  show([partition, offset]) {
    this.at = offset ? `${encodeURIComponent(partition)}/${encodeURIComponent(offset)}` : "";
    this.element.classList.toggle("reading", Boolean(this.at));
    this.#mark();
    if (this.at) this.#open(this.at);
    else this.text.focus();
  }

  escape() { location.hash = "search"; }

  key(key) {
    if (key !== "/") return false;
    this.text.focus();
    return true;
  }

  async act(path, body) {
    try { return await ask(path, body); } catch (error) { this.shell.say(error); return null; }
  }

  async #search() {
    const asked = (this.asked = {});
    put(this.hits);
    put(this.said, h("p", { class: "empty" }, t("reading")));
    const answer = await this.act("/api/search", { text: this.text.value });
    if (asked !== this.asked) return; // something else was asked since
    if (!answer) return put(this.said);
    this.alerts = Object.fromEntries(answer.found.map((one) => [`${one.partition}/${one.offset}`, one.alert]));
    if (!answer.searched) return put(this.said, h("p", { class: "empty" }, t("search.short")));
    if (!answer.found.length) return put(this.said, h("p", { class: "empty" }, t("search.nothing", { kept: number(answer.kept) })));
    put(this.said, h("p", { class: "small" }, t(answer.more ? "search.more" : "search.count", { count: number(answer.found.length) })));
    put(this.hits, h("ul", { class: "hits" }, answer.found.map((one) => this.#hit(one))));
    this.#mark();
  }

  #mark() {
    for (const one of this.hits.querySelectorAll("[data-at]")) {
      if (one.dataset.at === this.at) one.setAttribute("aria-current", "true");
      else one.removeAttribute("aria-current");
    }
  }

  #hit(one) {
    const verdict = one.selected ? word("lane", one.ln) : t("released");
    return h("li", {}, h("button", { type: "button", "data-at": `${one.partition}/${one.offset}`, onclick: () => { location.hash = `search/${one.partition}/${one.offset}`; } },
      h("span", { class: `chip lane ${one.selected ? one.ln : "green"}` }, verdict), h("b", {}, one.st === "passengers" ? one.lodgement : one.ref), h("small", {}, `${one.cp} · ${word("stream", one.st)} · ${shortWhen(one.at)}`)));
  }

  async #open(at) {
    const back = h("button", { type: "button", class: "back plain", onclick: () => this.escape() }, "← ", t("back"));
    put(this.one, back, h("p", { class: "empty" }, t("reading")));
    const answer = await this.act(`/api/decisions/${at}`);
    if (at !== this.at) return; // another was opened since
    if (!answer) return put(this.one, back, h("p", { class: "empty" }, t("search.none.open")));
    const { decision } = answer;
    const verdict = verdictOf(decision);
    const reasons = (decision.reasons ?? []).map((reason) => h("li", { class: reason.code === "remainder" ? "rest" : "" }, reasonText(reason), h("span", { class: "weight" }, weightOf(reason))));
    put(this.one,
      back,
      h("header", {}, h("div", { class: "line" }, h("h2", {}, decision.item_id)), h("p", { class: "lead" }, verdict),
        h("p", { class: "chips" }, h("span", { class: `chip lane ${decision.lane}` }, word("lane", decision.lane)), h("span", { class: "chip" }, decision.control_point), this.alerts[at] ? h("a", { class: "chip hot", href: `#queue/${encodeURIComponent(this.alerts[at])}` }, t("search.alert")) : null)),
      reasons.length ? section("why", h("ol", { class: "reasons two" }, reasons)) : null,
      answer.criteria.length ? section("criteria", answer.criteria.map((held) => criterion(held, { cp: decision.control_point, decision: decision.decision_id }, this))) : null,
      section("lineage", facts([
        ["lineage.decision", decision.decision_id], ["lineage.source", `${decision.origin.topic} [${decision.origin.partition}] ${decision.origin.offset}`], ["lineage.lodgement", decision.origin.lodgement_id],
        ["lineage.model", decision.model_version], ["lineage.criteria", decision.criteria_version ?? 0], ["lineage.risk", decision.risk_information_version ?? 0], ["lineage.policy", decision.policy_version],
        ["lineage.chance", `${number(decision.propensity, 4)} / ${number(decision.exploration_rate ?? 0, 4)}`], ["lineage.time", when(Date.parse(decision.lodged_at))]], true)),
      section("lodged", answer.lodgement ? h("pre", { class: "raw", tabindex: 0 }, JSON.stringify(answer.lodgement, null, 2)) : h("p", {}, t("lodged.gone")), me.handles ? null : h("p", { class: "small" }, t("names.hidden"))));
    if (document.activeElement !== this.text) this.one.focus({ preventScroll: true }); // who writes on is not disturbed
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
