// One alert: what to do next, why, the item, what is known, and where the decision came from.
import { ask, me } from "./api.js";
import { append, arrange, h, lodged, put } from "./dom.js";
import { arrived, draftOf, keepDraft, refused, sending } from "./drafts.js";
import { ResultForm } from "./form.js";
import { amount, clock, exactly, left, number, percent, score, since, t, told, when, word } from "./i18n.js";
import { away, chipsOf, headline, held, stateOf, timeOf, why } from "./queue.js";

const PAUSE_MS = 150;
const RENEW_MS = 30 * 60_000;
const RENEW_EVERY_MS = 60_000;

// What a change must touch for an alert to be read again.
const stand = (row) => JSON.stringify([row.s, row.by, row.out, row.outAt, row.to]);

// A decision's score, what that competed as, and what it had to reach, as they are shown.
export function scored({ score: own, rank, threshold }) {
  return { score: score(own), rank: score(rank ?? own), threshold: score(threshold) };
}

// What a reason added to the score. A rule adds nothing to it.
export function weightOf({ code, weight = 0 }) {
  if (weight) return `${weight > 0 ? "+" : "−"}${number(Math.abs(weight), 2)}`;
  return code === "remainder" ? "" : t("reason.rule");
}

export function reasonText(one) {
  const [name, said] = told(one.code, one.text);
  return h("span", { class: "text" }, h("b", {}, name), said ? h("span", {}, said) : null);
}

export class Detail {
  #id = "";
  #shown = null;
  #busy = new Set(); // alerts with an action under way
  #asked = 0;
  #openedAt = 0;
  #soon = 0;
  #again = 0;
  #renewedAt = 0;

  constructor(page) {
    this.page = page;
    this.live = page.live;
    this.element = h("article", { class: "detail", tabindex: -1, "aria-label": t("detail") });
    this.next = h("section", { class: "next", "aria-label": t("next") });
    this.close();
  }

  #leave(id) {
    clearTimeout(this.#soon);
    clearTimeout(this.#again);
    this.#again = 0;
    this.#id = id;
    this.#shown = null;
    this.form = null;
    this.criteria = null;
    this.stepShown = "";
    this.#mark();
  }

  #mark() {
    this.element.classList.toggle("busy", this.#busy.has(this.#id));
    this.next.dataset.busy = this.#busy.has(this.#id) ? t("sending") : "";
  }

  close() {
    this.#leave("");
    put(this.element, h("div", { class: "nothing" }, h("p", {}, t(me?.handles ? "detail.none" : "detail.none.see")), me?.handles ? h("button", { type: "button", class: "primary", onclick: () => this.page.next() }, t("next.take"), h("kbd", { "aria-hidden": "true" }, "N")) : null));
  }

  // At once; but who holds J down passes by: only where they stop is read, and recorded.
  open(id) {
    const now = performance.now();
    const passing = now - this.#openedAt < PAUSE_MS;
    this.#openedAt = now;
    this.#leave(id);
    put(this.element, h("p", { class: "empty" }, t("reading")));
    this.element.scrollTop = 0;
    if (passing) this.#soon = setTimeout(() => this.#read(), PAUSE_MS);
    else this.#read();
  }

  // The connection is back: what could not be read is read now.
  again() {
    if (this.#again) this.#read(true);
  }

  async #read(quiet = false) {
    clearTimeout(this.#again);
    this.#again = 0;
    const asked = ++this.#asked;
    const id = this.#id;
    try {
      const shown = await ask(`/api/alerts/${encodeURIComponent(id)}`);
      if (asked === this.#asked && id === this.#id) this.#redraw(() => this.#show(shown));
    } catch (error) {
      if (asked !== this.#asked || id !== this.#id) return;
      const reading = error.status === 404 && this.live.state !== "live"; // it may be in what the console reads yet
      if (!reading && (error.status === 404 || error.status === 403)) {
        this.#leave(id);
        const said = error.status === 404 ? "detail.gone" : me.role === "wall" ? "error.http-403" : "detail.other";
        this.#redraw(() => put(this.element, this.#back(), h("p", { class: "empty" }, t(said))));
      } else {
        if (!quiet && !reading) this.page.shell.say(error);
        this.#again = setTimeout(() => this.#read(true), 1000 * (error.retry_s || 5));
      }
    }
  }

  // Somebody changed something: what is shown here is read again, what the officer is writing stays.
  changed(rows) {
    const row = rows.find((one) => one.id === this.#id);
    if (!row || !this.#shown || this.#busy.has(this.#id)) return;
    if (stand(this.#shown.row) !== stand(row)) this.#read();
    else this.#shown.row.until = row.until;
  }

  focus() {
    this.element.focus({ preventScroll: true });
    (this.element.querySelector(".next button, .next input, .next select") ?? this.element).focus({ preventScroll: true });
  }

  // The focus stays in here when what had it goes away. But who was writing finds no button under their hands.
  #redraw(draw, own = false) {
    const active = document.activeElement;
    const within = this.element.contains(active) && active !== this.element;
    draw();
    if (!within || active.isConnected) return;
    if (own || !active.matches("input, select, textarea")) return this.focus();
    this.page.shell.pause();
    this.element.focus({ preventScroll: true });
  }

  #show(shown) {
    const first = this.#shown === null;
    this.#shown = shown;
    const { alert, row, result } = shown;
    const top = this.element.scrollTop;
    if (result?.officer === me.user) arrived(row.id, row.outAt); // though no answer came
    this.time = h("span", { class: "time" });
    arrange(this.element,
      this.#back(),
      h("header", {},
        h("div", { class: "line" }, h("span", { class: `priority p${row.p}`, title: t("priority", { p: row.p }), "aria-label": t("priority", { p: row.p }) }, row.p), h("h2", {}, headline(row)), this.time),
        h("p", { class: "lead what" }, whatOf(alert.filtered.item)),
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
    if (step !== this.stepShown) this.#redraw(() => this.#nextStep());
    else if (this.count) {
      const seconds = Math.ceil((this.#shown.undo_until - now) / 1000);
      this.count.textContent = t("undo.left", { seconds: Math.max(0, seconds) });
    }
  }

  // -- what to do next

  #step(now) {
    const { row, undo_until } = this.#shown;
    if (row.s === "filed") return undo_until > now ? "undo" : "over";
    const by = held(row, now);
    if (row.out === "passed-on" && undo_until > now && by !== me.user) return "undo";
    const late = row.due < now ? "-late" : "";
    if (!me.handles) return `watch${by ? "-by" : ""}${late}`;
    if (!by) return `claim${late}`;
    return by === me.user ? `file${late}` : `theirs${late}`;
  }

  #nextStep() {
    const now = this.live.now();
    const step = this.#step(now);
    const lost = this.stepShown.startsWith("file") && !/^(file|undo|over)/.test(step);
    this.stepShown = step;
    const { row, result } = this.#shown;
    if (lost) this.page.shell.toast(t("claim.over"), "bad", row.id);
    this.count = null;
    this.next.className = `next ${step}`;
    const expired = step.endsWith("-late") ? h("p", { class: "expired", role: "status" }, h("strong", {}, t("expired.title")), " ", t("expired.what", { time: when(row.due) })) : null;
    const button = (label, key, act, kind = "primary") => h("button", { type: "button", class: kind, onclick: act }, label, key ? h("kbd", { "aria-hidden": "true" }, key) : null);
    const passed = row.to ? h("p", { class: "say" }, t("passed.say", { to: row.to, by: row.toBy || t("somebody") })) : null;
    if (step.startsWith("claim")) {
      put(this.next, expired, passed, away(row) ? null : h("p", { class: "say" }, t("claim.say")), button(t("claim"), "C", () => this.claim(), away(row) ? "plain" : "primary"));
    } else if (step.startsWith("theirs")) {
      put(this.next, expired, passed, h("p", { class: "say taken" }, t("theirs.say", { by: row.by, time: clock(row.until) })), button(t("next.take"), "N", () => this.page.next()), me.role === "supervisor" ? button(t("release.claim"), "", () => this.giveUp(), "plain") : null);
    } else if (step.startsWith("watch")) {
      put(this.next, expired, h("p", { class: "say" }, step.startsWith("watch-by") ? t("watch.by", { by: row.by }) : t("watch.say")));
    } else if (step.startsWith("file")) {
      this.form ??= new ResultForm(row, draftOf(row.id), { keep: (draft) => this.#keep(draft), file: (said) => this.file(said), giveUp: () => this.giveUp() });
      // A form that is there stays where it is: taken out and put back it would lose the focus in mid-word.
      if (this.form.element.parentNode !== this.next) put(this.next, this.form.element);
      this.next.querySelector(".expired")?.remove();
      if (expired) this.next.prepend(expired);
    } else {
      const said = [h("strong", {}, word("outcome", result.outcome)), " · ", result.method && result.method !== "none" ? word("method", result.method) : null, result.reason ? ` · ${word("released", result.reason)}` : null, result.passed_to ? ` → ${result.passed_to}` : null,
        result.categories?.length ? ` · ${result.categories.map((one) => word("category", one)).join(", ")}` : null,
        result.quantity != null ? ` · ${number(result.quantity, 6)} ${word("unit", result.quantity_unit, { count: result.quantity })}` : null, " · ", result.officer];
      put(this.next, h("p", { class: "say done" }, "✓ ", t("filed.say", { time: since(row.outAt, now) }), " ", said), result.note ? h("p", { class: "note" }, result.note) : null, this.#unfiled(row, step, result));
      const actions = h("div", { class: "actions" }, button(t("next.take"), "N", () => this.page.next()));
      if (step === "undo") {
        this.count = h("span", {}, t("undo.left", { seconds: Math.ceil((this.#shown.undo_until - now) / 1000) }));
        append(actions, [h("button", { type: "button", class: "plain undo", onclick: () => this.undo() }, t("undo"), " ", this.count, h("kbd", { "aria-hidden": "true" }, "U"))]);
      }
      append(this.next, [actions]);
    }
  }

  // What was written too late for the result that stands, or beside another's.
  #unfiled(row, step, result) {
    const draft = draftOf(row.id);
    if (!draft) return null;
    const said = [word("outcome", draft.outcome), draft.quantity && `${draft.quantity} ${word("unit", draft.unit, { count: draft.quantity })}`, draft.note.trim()].filter(Boolean).join(" · ");
    const mend = step === "undo" ? t("unfiled.undo") : result.officer === me.user ? [t("unfiled.over"), " ", copyable(result.result_id)] : "";
    return h("p", { class: "unfiled", role: "status" }, h("strong", {}, t("unfiled")), " ", said, mend ? [" ", h("em", {}, mend)] : null);
  }

  async #do(path, body, done, undone) {
    const id = this.#id;
    if (this.#busy.has(id)) return;
    const focused = document.activeElement;
    this.#busy.add(id);
    this.#asked += 1; // an answer that is under way is of before
    this.#mark();
    const shown = await this.page.act(`/api/alerts/${encodeURIComponent(id)}/${path}`, body, id, undone);
    this.#busy.delete(id);
    this.#mark();
    if (shown) done?.(shown);
    if (id !== this.#id) return;
    if (shown) {
      const writing = draftOf(id) || document.activeElement !== focused;
      this.form = null;
      this.stepShown = "";
      this.#redraw(() => this.#show(shown), !writing);
    } else await this.#read(true); // somebody else was first: show how it stands
  }

  claim() { return this.#do("claim", {}); }
  giveUp() { return this.#do("give-up", {}); }
  undo() { return this.#do("undo", {}, (shown) => this.page.shell.toast(t("undone"), "good", shown.row.id)); }
  file(said) {
    const id = this.#id;
    if (this.#busy.has(id)) return;
    const request = sending(id, this.live.now());
    this.#do("result", { ...said, request }, (shown) => {
      arrived(id);
      this.page.shell.toast(t("filed.toast", { outcome: word("outcome", shown.result?.outcome) }), "good", id);
    }, () => refused(id));
  }

  // Who writes on keeps the claim.
  async #keep(draft) {
    const { row } = this.#shown;
    const now = this.live.now();
    keepDraft(row.id, draft);
    if (row.until - now > RENEW_MS || now - this.#renewedAt < RENEW_EVERY_MS) return;
    this.#renewedAt = now;
    const shown = await ask(`/api/alerts/${encodeURIComponent(row.id)}/claim`, {}).catch(() => null); // nobody pressed it
    if (shown) row.until = shown.row.until;
  }

  key(key) {
    if (!this.#shown) return false;
    const step = this.#step(this.live.now());
    if (key === "c" && step.startsWith("claim")) { this.claim(); return true; }
    if (key === "g" && step.startsWith("file")) { this.giveUp(); return true; }
    if (key === "u" && step === "undo") { this.undo(); return true; }
    if (step.startsWith("file") && this.form && /^[1-5]$/.test(key)) { this.form.choose(Number(key) - 1); return true; }
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
        h("span", { class: "weight" }, weightOf(one)));
    });
    const about = scored(decision);
    const said = decision.layer !== "model" ? "score.aside" : about.rank === about.score ? "score.say" : "score.ranked";
    const chance = decision.probability === undefined ? null : ` ${t("score.probability", { p: percent(decision.probability, decision.probability < 0.1 ? 1 : 0) })}`;
    return section("why", h("ol", { class: "reasons" }, lines), h("p", { class: "small" }, t(said, { ...about, layer: word("layer", decision.layer) }), chance, " ", t("score.meaning")));
  }

  // -- what

  #item(alert, shown) {
    const item = alert.filtered.item;
    const { cargo, traveller } = item;
    const seen = alert.filtered.monitored;
    const rows = [];
    const add = (label, value) => { if (value !== undefined && value !== null && value !== "" && value !== false) rows.push([label, value]); };
    const wrote = (label, text) => { if (text) rows.push([label, lodged(text)]); };
    if (cargo) {
      const goods = cargo.goods;
      add("item.goods", [lodged(goods.description || "—"), ` (HS ${goods.hs6})`, goods.lines > 1 ? h("small", {}, " ", t("item.lines", { count: number(goods.lines) })) : null]);
      add("item.mass", `${amount(goods.gross_mass_kg, 2)} kg${goods.packages ? ` · ${t("item.packages", { count: number(goods.packages) })}` : ""}`);
      add("item.value", goods.declared_value && goods.currency ? `${number(goods.declared_value, 2)} ${goods.currency} (${amount(goods.value_usd, 0)} USD)` : `${amount(goods.value_usd, 0)} USD`);
      add("item.origin", `${goods.origin ?? "ZZ"}${cargo.departure ? ` · ${t("item.departure")} ${cargo.departure}${cargo.port_of_loading ? ` (${cargo.port_of_loading})` : ""}` : ""}`);
      wrote("item.consignee", cargo.consignee_name);
      wrote("item.address", cargo.consignee_address);
      wrote("item.shipper", cargo.shipper_name);
      add("item.carrier", [lodged(cargo.carrier), ` · ${word("mode", cargo.mode)}`, cargo.conveyance ? [" · ", lodged(cargo.conveyance)] : null]);
      wrote("item.bill", cargo.bill);
      wrote("item.containers", cargo.containers?.join(", "));
      wrote("item.platform", cargo.platform);
    } else if (traveller) {
      wrote("item.name", traveller.name);
      add("item.nationality", `${traveller.nationality} · ${t("item.born", { year: traveller.birth_year })}`);
      add("item.document", `${word("document", traveller.document_kind)} ${traveller.document_issuer}${traveller.document_days_left !== undefined ? ` · ${t("item.valid", { days: number(traveller.document_days_left) })}` : ""}`);
      add("item.journey", [lodged(traveller.journey), ` · ${traveller.embarkation} → ${traveller.disembarkation}`, traveller.crew ? ` · ${t("item.crew")}` : null]);
      add("item.itinerary", traveller.itinerary?.join(" → "));
      add("item.booking", [traveller.payment ? word("payment", traveller.payment) : "", traveller.booked_hours_ahead !== undefined ? t("item.booked", { hours: number(traveller.booked_hours_ahead) }) : "", traveller.one_way ? t("item.oneway") : "", traveller.party_size ? t("item.party", { count: traveller.party_size }) : ""].filter(Boolean).join(" · "));
      add("item.bags", traveller.bags ? `${traveller.bags}${traveller.bag_mass_kg ? ` · ${number(traveller.bag_mass_kg, 1)} kg` : ""}` : "");
    }
    add("item.due", when(shown.row.due));
    add("item.seen", t(traveller ? "item.seen.traveller" : "item.seen.say", { day: number(seen.arrivals_24h), shippers: number(seen.shippers_24h), value: number(seen.value_24h_usd) }));
    add("item.quality", item.quality?.map((one) => word("quality", one)).join(", "));
    add("item.indicators", alert.filtered.indicators?.map((one) => word("indicator", one)).join(", "));
    const raw = h("pre", { class: "raw", tabindex: 0 });
    const whole = h("details", { class: "raw", ontoggle: async (event) => {
      if (!event.target.open || raw.textContent) return;
      put(raw, t("reading"));
      const answer = await ask(`/api/alerts/${encodeURIComponent(shown.row.id)}/lodgement`).catch((error) => { this.page.shell.say(error); return null; });
      if (!answer) { // it said why: opened again, it asks again
        put(raw);
        event.target.open = false;
        return;
      }
      put(raw, answer.lodgement ? JSON.stringify(answer.lodgement, null, 2) : t("lodged.gone"));
    } }, h("summary", {}, t("lodged")), raw);
    return section("item", facts(rows), shown.names ? null : h("p", { class: "small" }, t("names.hidden")), whole);
  }

  // Drawn anew only when it changed: somebody may be writing to an author in it.
  #criteria(criteria, row) {
    if (!criteria.length) return null;
    const told = JSON.stringify(criteria);
    if (this.criteria?.told !== told) this.criteria = { told, element: section("criteria", criteria.map((one) => criterion(one, row, this.page))) };
    return this.criteria.element;
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
    return section("story", h("ol", { class: "story" }, lines.map((one) => h("li", { class: one.what }, h("time", {}, exactly(one.at)), " ", word("story", one.what), one.who ? ` · ${one.who}` : ""))));
  }

  #lineage(decision, row) {
    const place = (at) => `${at.topic} [${at.partition}] ${at.offset}${at.index ? ` #${at.index}` : ""}`;
    const rows = [
      ["lineage.alert", row.id], ["lineage.decision", decision.decision_id], ["lineage.item", decision.item_id],
      ["lineage.source", place(decision.origin)], ["lineage.lodgement", decision.origin.lodgement_id],
      ["lineage.upstream", place(decision.upstream)], ["lineage.model", decision.model_version], ["lineage.profile", decision.profile_version],
      ["lineage.criteria", decision.criteria_version], ["lineage.risk", decision.risk_information_version], ["lineage.policy", decision.policy_version],
      ["lineage.software", decision.software ?? "—"],
      ["lineage.chance", `${number(decision.propensity, 4)} / ${number(decision.exploration_rate ?? 0, 4)}`], ["lineage.subject", decision.subject],
    ];
    const text = rows.map(([label, value]) => `${t(label)}: ${value}`).join("\n");
    return section("lineage", facts(rows, true), h("button", { type: "button", class: "plain", onclick: (event) => copy(text, event.currentTarget) }, t("copy.all")));
  }
}

// What to fetch, in one line: the goods and their bill, or the traveller and the flight.
function whatOf({ cargo, traveller }) {
  const [what, from] = cargo ? [cargo.goods.description, cargo.bill] : [traveller?.name, traveller?.journey];
  return [what, from].filter(Boolean).map((one, place) => [place ? " · " : null, lodged(one)]);
}

export function criterion(one, row, page) {
  if (!one.known) return h("div", { class: "criterion" }, h("b", {}, one.id), " ", t("criteria.unknown"));
  const about = `${row.decision}/${one.id}`;
  const draft = draftOf(about);
  const keep = () => keepDraft(about, { verdict: verdict.value, note: note.value });
  const verdict = h("select", { "aria-label": t("feedback.verdict") }, ["useful", "too-broad", "too-narrow", "wrong-target", "outdated", "unclear"].map((value) => h("option", { value, selected: value === draft?.verdict }, word("verdict", value))));
  const note = h("textarea", { rows: 2, maxlength: 2000, placeholder: t("feedback.note"), "aria-label": t("feedback.note"), value: draft?.note ?? "" });
  let busy = false;
  const send = h("button", { type: "button", class: "plain", onclick: async () => {
    if (busy) return;
    busy = true;
    keep();
    const request = sending(about, 0);
    const sent = await page.act(`/api/criteria/${encodeURIComponent(one.id)}/feedback`, { version: one.version, cp: row.cp, verdict: verdict.value, note: note.value, decision: row.decision, request });
    busy = false;
    if (!sent) return;
    arrived(about);
    page.shell.toast(t("feedback.sent"));
    if (draftOf(about)) return; // who wrote on has it still
    box.open = false;
    note.value = "";
  } }, t("feedback.send"));
  const box = h("details", { class: "feedback", open: Boolean(draft), oninput: keep }, h("summary", {}, t("feedback")), h("div", {}, verdict, note, send));
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
