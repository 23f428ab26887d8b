// One alert: what to do next, why, the item, what is known, and where the decision came from.
import { ask, me } from "./api.js";
import { append, h, put } from "./dom.js";
import { ResultForm } from "./form.js";
import { clock, left, number, percent, t, told, when, word } from "./i18n.js";
import { headline, held, stateOf, timeOf, chipsOf, why } from "./queue.js";

export function reasonText(one) {
  const [name, said] = told(one.code, one.text);
  return h("span", { class: "text" }, h("b", {}, name), said ? h("span", {}, said) : null);
}

export class Detail {
  #id = "";
  #shown = null;
  #busy = false;
  #asked = 0;

  constructor(page) {
    this.page = page;
    this.live = page.live;
    this.element = h("article", { class: "detail", tabindex: -1, "aria-label": t("detail") });
    this.close();
  }

  close() {
    this.#id = "";
    this.#shown = null;
    this.form = null;
    put(this.element, h("div", { class: "nothing" }, h("p", {}, t("detail.none")), me?.handles ? h("button", { type: "button", class: "primary", onclick: () => this.page.next() }, t("next.take"), h("kbd", { "aria-hidden": "true" }, "N")) : null));
  }

  async open(id) {
    if (id !== this.#id) {
      this.#id = id;
      this.form = null;
      this.#shown = null;
      put(this.element, h("p", { class: "empty" }, t("reading")));
      this.element.scrollTop = 0;
    }
    await this.#read();
  }

  async #read() {
    const asked = ++this.#asked;
    const id = this.#id;
    try {
      const shown = await ask(`/api/alerts/${encodeURIComponent(id)}`);
      if (asked === this.#asked && id === this.#id) this.#show(shown);
    } catch (error) {
      if (id !== this.#id) return;
      if (error.status === 404 || error.status === 403) put(this.element, this.#back(), h("p", { class: "empty" }, t(error.status === 403 ? "detail.other" : "detail.gone")));
      else this.page.shell.say(error);
    }
  }

  // Somebody changed something: what is shown here is read again, what the officer is writing stays.
  changed(rows) {
    const row = rows.find((one) => one.id === this.#id);
    if (!row || !this.#shown || this.#busy) return;
    const before = JSON.stringify([this.#shown.row.s, this.#shown.row.by, this.#shown.row.out, this.#shown.row.outAt, this.#shown.row.to]);
    if (before !== JSON.stringify([row.s, row.by, row.out, row.outAt, row.to])) this.#read();
  }

  focus() {
    this.element.focus({ preventScroll: true });
    (this.next?.querySelector("button, input, select") ?? this.element).focus({ preventScroll: true });
  }

  #show(shown) {
    const first = this.#shown === null;
    const within = this.element.contains(document.activeElement) && document.activeElement !== this.element;
    this.#shown = shown;
    const { alert, row } = shown;
    const top = this.element.scrollTop;
    this.next = h("section", { class: "next", "aria-label": t("next") });
    this.time = h("span", { class: "time" });
    put(this.element,
      this.#back(),
      h("header", {},
        h("div", { class: "line" }, h("span", { class: `priority p${row.p}`, "aria-label": t("priority", { p: row.p }) }, row.p), h("h2", {}, headline(row)), this.time),
        h("p", { class: "lead" }, why(row)),
        h("p", { class: "chips" }, chipsOf(row, stateOf(row, this.live.now()), ""), h("span", { class: "chip" }, word("layer", row.ly)), row.cat.map((one) => h("span", { class: "chip hot" }, word("category", one))), h("span", { class: "chip", title: me.points[row.cp]?.title }, row.cp), copyable(row.ref))),
      this.next,
      this.#reasons(alert.decision),
      this.#item(alert, shown),
      this.#criteria(shown.criteria, { ...row, decision: alert.decision.decision_id }),
      this.#known(alert, shown),
      this.#related(shown.related),
      this.#story(shown),
      this.#lineage(alert.decision, row));
    this.element.scrollTop = first ? 0 : top;
    this.#nextStep();
    this.tick();
    if (within && !first) this.focus();
  }

  #back() {
    return h("button", { type: "button", class: "back plain", onclick: () => this.page.escape() }, "← ", t("back"));
  }

  tick() {
    if (!this.#shown) return;
    const { row } = this.#shown;
    const now = this.live.now();
    const state = stateOf(row, now);
    const [text, kind] = timeOf(row, state, now);
    this.time.className = `time ${kind}`;
    put(this.time, state === "done" ? text : [h("small", {}, state === "expired" ? t("time.late") : t("time.left")), " ", text]);
    const step = this.#step(now);
    if (step !== this.stepShown) this.#nextStep();
    else if (this.count) {
      const seconds = Math.ceil((this.#shown.undo_until - now) / 1000);
      this.count.textContent = t("undo.left", { seconds: Math.max(0, seconds) });
    }
  }

  // -- what to do next

  #step(now) {
    const { row, undo_until } = this.#shown;
    if (row.s === "filed") return undo_until > now ? "undo" : "filed";
    const by = held(row, now);
    const late = row.due < now ? "-late" : "";
    if (!me.handles) return `watch${late}`;
    if (!by) return `claim${late}`;
    return by === me.user ? `file${late}` : `theirs${late}`;
  }

  #nextStep() {
    const now = this.live.now();
    const step = (this.stepShown = this.#step(now));
    const { row, result } = this.#shown;
    this.count = null;
    this.next.className = `next ${step}`;
    const expired = step.endsWith("-late") ? h("p", { class: "expired", role: "status" }, h("strong", {}, t("expired.title")), " ", t("expired.what", { time: when(row.due) })) : null;
    const button = (label, key, act, kind = "primary") => h("button", { type: "button", class: kind, onclick: act }, label, key ? h("kbd", { "aria-hidden": "true" }, key) : null);
    const passed = row.to ? h("p", { class: "say" }, t("passed.say", { to: row.to, by: row.toBy || t("somebody") })) : null;
    if (step.startsWith("claim")) {
      put(this.next, expired, passed, h("p", { class: "say" }, t("claim.say")), button(t("claim"), "C", () => this.claim()));
    } else if (step.startsWith("theirs")) {
      put(this.next, expired, passed, h("p", { class: "say taken" }, t("theirs.say", { by: row.by, time: clock(row.until) })), button(t("next.take"), "N", () => this.page.next()), me.role === "supervisor" ? button(t("release.claim"), "", () => this.giveUp(), "plain") : null);
    } else if (step.startsWith("watch")) {
      put(this.next, expired, h("p", { class: "say" }, row.by ? t("watch.by", { by: row.by }) : t("watch.say")));
    } else if (step.startsWith("file")) {
      this.form ??= new ResultForm(this.#shown, (said) => this.file(said), () => this.giveUp());
      put(this.next, expired, this.form.element);
    } else {
      const said = [h("strong", {}, word("outcome", result.outcome)), " · ", result.method && result.method !== "none" ? word("method", result.method) : null, result.reason ? ` · ${word("released", result.reason)}` : null, result.passed_to ? ` → ${result.passed_to}` : null, " · ", result.officer];
      put(this.next, h("p", { class: "say done" }, "✓ ", t("filed.say", { time: clock(row.outAt) }), " ", said), result.note ? h("p", { class: "note" }, result.note) : null);
      const actions = h("div", { class: "actions" }, button(t("next.take"), "N", () => this.page.next()));
      if (step === "undo") {
        this.count = h("span", {}, t("undo.left", { seconds: Math.ceil((this.#shown.undo_until - now) / 1000) }));
        append(actions, [h("button", { type: "button", class: "plain undo", onclick: () => this.undo() }, t("undo"), " ", this.count, h("kbd", { "aria-hidden": "true" }, "U"))]);
      }
      append(this.next, [actions]);
    }
  }

  async #do(path, body, done) {
    if (this.#busy) return;
    this.#busy = true;
    const id = this.#id;
    this.element.classList.add("busy");
    const shown = await this.page.act(`/api/alerts/${encodeURIComponent(id)}/${path}`, body);
    this.element.classList.remove("busy");
    this.#busy = false;
    if (id !== this.#id) return;
    if (shown) {
      done?.(shown);
      this.#show(shown);
    } else await this.#read(); // somebody else was first: show how it stands
  }

  claim() { return this.#do("claim", {}, () => { this.form = null; }); }
  giveUp() { return this.#do("give-up", {}, () => { this.form = null; }); }
  undo() { return this.#do("undo", {}, () => { this.form = null; this.page.shell.toast(t("undone")); }); }
  file(said) {
    return this.#do("result", said, (shown) => {
      this.form = null;
      this.page.shell.toast(t("filed.toast", { outcome: word("outcome", shown.result?.outcome) }));
    });
  }

  key(event) {
    if (!this.#shown) return false;
    const step = this.#step(this.live.now());
    if (event.key === "c" && step.startsWith("claim")) { this.claim(); return true; }
    if (event.key === "g" && step.startsWith("file")) { this.giveUp(); return true; }
    if (event.key === "u" && step === "undo") { this.undo(); return true; }
    if (step.startsWith("file") && this.form && /^[1-5]$/.test(event.key)) { this.form.choose(Number(event.key) - 1); return true; }
    return false;
  }

  // -- why

  #reasons(decision) {
    const reasons = decision.reasons ?? [];
    if (!reasons.length) return null;
    const most = Math.max(...reasons.map((one) => Math.abs(one.weight ?? 0)), 1e-9);
    const lines = reasons.map((one) => {
      const weight = one.weight ?? 0;
      const bar = h("i", { class: weight < 0 ? "against" : "for", style: { width: `${Math.max(weight ? 2 : 0, (Math.abs(weight) / most) * 100)}%` } });
      return h("li", { class: one.code === "remainder" ? "rest" : "" },
        reasonText(one),
        h("span", { class: weight ? "bar" : "bar none", "aria-hidden": "true" }, bar),
        h("span", { class: "weight" }, weight ? `${weight > 0 ? "+" : "−"}${number(Math.abs(weight), 2)}` : one.code === "remainder" ? "" : t("reason.rule")));
    });
    const score = [t(decision.layer === "model" ? "score.say" : "score.aside", { score: number(decision.score, 2), threshold: number(decision.threshold, 2) }), decision.probability !== undefined ? ` ${t("score.probability", { p: percent(decision.probability, 0) })}` : null];
    return section("why", h("ol", { class: "reasons" }, lines), h("p", { class: "small" }, score, " ", t("score.meaning")));
  }

  // -- what

  #item(alert, shown) {
    const item = alert.filtered.item;
    const { cargo, traveller } = item;
    const seen = alert.filtered.monitored;
    const rows = [];
    const add = (label, value) => { if (value !== undefined && value !== null && value !== "" && value !== false) rows.push([label, value]); };
    if (cargo) {
      const goods = cargo.goods;
      add("item.goods", `${goods.description || "—"} (HS ${goods.hs6})`);
      add("item.mass", `${number(goods.gross_mass_kg, 2)} kg${goods.packages ? ` · ${t("item.packages", { count: number(goods.packages) })}` : ""}`);
      add("item.value", goods.declared_value && goods.currency ? `${number(goods.declared_value, 2)} ${goods.currency} (${number(goods.value_usd)} USD)` : `${number(goods.value_usd)} USD`);
      add("item.origin", `${goods.origin ?? "ZZ"}${cargo.departure ? ` · ${t("item.departure")} ${cargo.departure}${cargo.port_of_loading ? ` (${cargo.port_of_loading})` : ""}` : ""}`);
      add("item.consignee", cargo.consignee_name);
      add("item.address", cargo.consignee_address);
      add("item.shipper", cargo.shipper_name);
      add("item.carrier", `${cargo.carrier} · ${word("mode", cargo.mode)}${cargo.conveyance ? ` · ${cargo.conveyance}` : ""}`);
      add("item.bill", cargo.bill);
      add("item.containers", cargo.containers?.join(", "));
      add("item.platform", cargo.platform);
    } else if (traveller) {
      add("item.name", traveller.name);
      add("item.nationality", `${traveller.nationality} · ${t("item.born", { year: traveller.birth_year })}`);
      add("item.document", `${word("document", traveller.document_kind)} ${traveller.document_issuer}${traveller.document_days_left !== undefined ? ` · ${t("item.valid", { days: number(traveller.document_days_left) })}` : ""}`);
      add("item.journey", `${traveller.journey} · ${traveller.embarkation} → ${traveller.disembarkation}`);
      add("item.itinerary", traveller.itinerary?.join(" → "));
      add("item.booking", [traveller.payment ? word("payment", traveller.payment) : "", traveller.booked_hours_ahead !== undefined ? t("item.booked", { hours: number(traveller.booked_hours_ahead) }) : "", traveller.one_way ? t("item.oneway") : "", traveller.party_size ? t("item.party", { count: traveller.party_size }) : ""].filter(Boolean).join(" · "));
      add("item.bags", traveller.bags ? `${traveller.bags}${traveller.bag_mass_kg ? ` · ${number(traveller.bag_mass_kg, 1)} kg` : ""}` : "");
    }
    add("item.due", when(shown.row.due));
    add("item.seen", t("item.seen.say", { day: number(seen.arrivals_24h), shippers: number(seen.shippers_24h), value: number(seen.value_24h_usd) }));
    add("item.quality", item.quality?.map((one) => word("quality", one)).join(", "));
    add("item.indicators", alert.filtered.indicators?.map((one) => word("indicator", one)).join(", "));
    const raw = h("pre", { class: "raw", tabindex: 0 });
    const lodged = h("details", { class: "raw", ontoggle: async (event) => {
      if (!event.target.open || raw.textContent) return;
      raw.textContent = t("reading");
      const answer = await ask(`/api/alerts/${encodeURIComponent(shown.row.id)}/lodgement`).catch((error) => { this.page.shell.say(error); return null; });
      if (!answer) { // it said why: opened again, it asks again
        raw.textContent = "";
        event.target.open = false;
        return;
      }
      raw.textContent = answer.lodgement ? JSON.stringify(answer.lodgement, null, 2) : t("lodged.gone");
    } }, h("summary", {}, t("lodged")), raw);
    return section("item", facts(rows), shown.names ? null : h("p", { class: "small" }, t("names.hidden")), lodged);
  }

  #criteria(criteria, row) {
    if (!criteria.length) return null;
    return section("criteria", criteria.map((one) => criterion(one, row, this.page)));
  }

  #known(alert, shown) {
    const item = alert.filtered.item;
    const lines = [];
    const record = (label, prior) => {
      if (!prior) return;
      const said = t("known.say", { inspections: number(prior.inspections ?? 0), seizures: number(prior.seizures ?? 0), irregularities: number(prior.irregularities ?? 0) });
      const last = prior.last_seized_at ? ` ${t("known.last", { time: when(Date.parse(prior.last_seized_at) + shown.shift) })}` : "";
      lines.push(h("li", {}, h("b", {}, t(label)), " ", said + last, prior.categories?.length ? [" ", prior.categories.map((one) => h("span", { class: "chip hot" }, word("category", one)))] : null));
    };
    record(item.traveller ? "known.traveller" : "known.consignee", item.prior);
    record("known.shipper", item.counterpart_prior);
    for (const hit of item.hits ?? []) lines.push(h("li", {}, h("b", {}, word("reason", hit.kind)), " ", t("known.hit", { entry: hit.entry_id, version: hit.version, matched: word("matched", hit.matched), strength: percent(hit.strength ?? 1, 0) }), hit.category ? [" ", h("span", { class: "chip hot" }, word("category", hit.category))] : null));
    const past = [...shown.known, ...shown.known_shipper].filter((one, place, all) => all.findIndex((other) => other.decision === one.decision) === place).sort((a, b) => b.at - a.at);
    return section("known", h("ul", { class: "plainlist" }, lines),
      past.length ? h("ul", { class: "past" }, past.map((one) => h("li", { class: one.outcome }, h("time", {}, when(one.at)), " ", h("b", {}, word("outcome", one.outcome)), " ", one.categories.map((name) => word("category", name)).join(", "), " · ", one.cp))) : h("p", { class: "small" }, t("known.none")));
  }

  #related(related) {
    if (!related.length) return null;
    const now = this.live.now();
    return section("related", h("ul", { class: "related" }, related.map(({ row, shared }) => h("li", {}, h("a", { href: `#queue/${encodeURIComponent(row.id)}` }, h("span", { class: `priority p${row.p}` }, row.p), h("span", {}, headline(row)), h("small", {}, t("related.same", { what: shared.map((one) => word("matched", one)).join(", ") }), " · ", left(row.due - now)))))));
  }

  #story(shown) {
    const lines = [{ what: "raised", who: "", at: Date.parse(shown.alert.raised_at) + shown.shift }, ...shown.history];
    return section("story", h("ol", { class: "story" }, lines.map((one) => h("li", { class: one.what }, h("time", {}, when(one.at)), " ", word("story", one.what), one.who ? ` · ${one.who}` : ""))));
  }

  #lineage(decision, row) {
    const place = (at) => `${at.topic} [${at.partition}] ${at.offset}${at.index ? ` #${at.index}` : ""}`;
    const rows = [
      ["lineage.alert", row.id], ["lineage.decision", decision.decision_id], ["lineage.item", decision.item_id],
      ["lineage.source", place(decision.origin)], ["lineage.lodgement", decision.origin.lodgement_id],
      ["lineage.upstream", place(decision.upstream)], ["lineage.model", decision.model_version], ["lineage.profile", decision.profile_version],
      ["lineage.criteria", decision.criteria_version], ["lineage.risk", decision.risk_information_version], ["lineage.policy", decision.policy_version],
      ["lineage.chance", `${number(decision.propensity, 4)} / ${number(decision.exploration_rate ?? 0, 4)}`], ["lineage.subject", decision.subject],
    ];
    const text = rows.map(([label, value]) => `${t(label)}: ${value}`).join("\n");
    return section("lineage", facts(rows, true), h("button", { type: "button", class: "plain", onclick: (event) => copy(text, event.currentTarget) }, t("copy.all")));
  }
}

export function criterion(one, row, page) {
  if (!one.known) return h("div", { class: "criterion" }, h("b", {}, one.id), " ", t("criteria.unknown"));
  const verdict = h("select", { "aria-label": t("feedback.verdict") }, ["useful", "too-broad", "too-narrow", "wrong-target", "outdated", "unclear"].map((value) => h("option", { value }, word("verdict", value))));
  const note = h("textarea", { rows: 2, maxlength: 2000, placeholder: t("feedback.note"), "aria-label": t("feedback.note") });
  const send = h("button", { type: "button", class: "plain", onclick: async () => {
    const sent = await page.act(`/api/criteria/${encodeURIComponent(one.id)}/feedback`, { version: one.version, cp: row.cp, verdict: verdict.value, note: note.value, decision: row.decision });
    if (sent) { box.open = false; note.value = ""; page.shell.toast(t("feedback.sent")); }
  } }, t("feedback.send"));
  const box = h("details", { class: "feedback" }, h("summary", {}, t("feedback")), h("div", {}, verdict, note, send));
  return h("div", { class: "criterion" },
    h("p", {}, h("b", {}, one.title || one.id), " ", h("span", { class: "chip" }, word("action", one.action)), one.capped ? h("span", { class: "chip hot" }, t("criteria.capped")) : null, one.withdrawn ? h("span", { class: "chip hot" }, t("criteria.withdrawn")) : null),
    h("code", { class: "condition" }, one.condition),
    h("p", { class: "small" }, `${one.id} · ${t("criteria.version", { version: one.version })}`, one.asked && one.asked !== one.version ? ` (${t("criteria.was", { version: one.asked })})` : "", one.author ? ` · ${one.author}` : "", one.until ? ` · ${t("criteria.until", { time: when(one.until) })}` : ""),
    box);
}

export function section(name, ...content) {
  return h("section", { class: name }, h("h3", {}, t(`section.${name}`)), content);
}

export function facts(rows, copies = false) {
  return h("dl", { class: copies ? "facts code" : "facts" }, rows.map(([label, value]) => [h("dt", {}, t(label)), h("dd", {}, copies ? copyable(String(value)) : value)]));
}

export function copyable(text) {
  return h("button", { type: "button", class: "copyable", title: t("copy"), "aria-label": `${text}: ${t("copy")}`, onclick: (event) => copy(text, event.currentTarget) }, text);
}

async function copy(text, button) {
  try {
    await navigator.clipboard.writeText(text);
    button.classList.add("copied");
    setTimeout(() => button.classList.remove("copied"), 1200);
  } catch {
    const range = document.createRange(); // no clipboard without TLS on some browsers: it is marked, to be copied
    range.selectNodeContents(button);
    getSelection().removeAllRanges();
    getSelection().addRange(range);
  }
}
