// What became of an alert: one question first, then only the fields that its answer needs.
import { me } from "./api.js";
import { h, put } from "./dom.js";
import { t, word } from "./i18n.js";

const OUTCOMES = ["clear", "irregularity", "seizure", "not-inspected", "passed-on"];
const METHODS = { cargo: ["physical", "x-ray", "documents", "canine", "laboratory"], person: ["search", "interview", "documents", "x-ray", "canine"] };
const CATEGORIES = ["drugs", "weapons", "counterfeit", "medicines", "tobacco", "currency", "gold", "endangered-species", "quarantine", "unsafe-goods", "undervaluation", "origin-fraud"];
const REASONS = ["released-before", "no-capacity", "explained", "duplicate", "not-arrived"];
const UNITS = ["PK", "KGM", "C62", "LTR", "USD"];
const WRITTEN = ["method", "quantity", "unit", "reason", "to", "note"];
const FOUND = ["irregularity", "seizure"];

// What was typed as a quantity, NaN when it can be read in two ways or in none: "2.5" and "2,5" are two and a half, but
// "1,234" may be a thousand or one and a bit.
export function quantityOf(text) {
  const typed = text.normalize("NFKC").trim();
  if (!/^\d{1,12}([.,]\d{1,6})?$/.test(typed) || /^[1-9]\d{0,2},\d{3}$/.test(typed)) return NaN;
  return Number(typed.replace(",", "."));
}

export class ResultForm {
  // `draft` is what was half written before; `keep` is given it as it is now, whenever it changes.
  constructor(row, draft, { keep, file, giveUp }) {
    this.file = file;
    const person = row.st === "passengers";
    const usual = { red: person ? "search" : "physical", yellow: person ? "interview" : "documents", blue: "documents" }[row.ln];
    this.outcomes = OUTCOMES.map((value, place) => h("label", { class: `outcome ${value}` }, h("input", { type: "radio", name: "outcome", value, onchange: () => this.#changed() }), h("span", {}, word("outcome", value)), h("kbd", { "aria-hidden": "true" }, place + 1)));
    this.method = select("method", METHODS[person ? "person" : "cargo"], "method", usual);
    const likely = [...new Set([...row.cat, ...CATEGORIES])];
    this.categories = h("div", { class: "ticks" }, likely.map((value) => h("label", {}, h("input", { type: "checkbox", value }), h("span", {}, word("category", value)))));
    this.severity = h("div", { class: "steps" }, [1, 2, 3].map((value) => h("label", {}, h("input", { type: "radio", name: "severity", value, checked: value === 2 }), h("span", {}, word("severity", value)))));
    this.quantity = h("input", { inputmode: "decimal", autocomplete: "off", maxlength: 24, id: "quantity" });
    this.unit = select("unit", UNITS, "unit", person ? "C62" : "PK");
    this.reason = select("reason", REASONS, "released", "");
    const others = Object.keys(me.points).filter((name) => name !== (row.to ?? row.cp) && me.points[name].streams.includes(row.st));
    this.to = h("select", { id: "passed_to", required: true }, h("option", { value: "" }, t("choose")), others.map((name) => h("option", { value: name }, `${name} ${me.points[name].title}`)));
    this.note = h("textarea", { rows: 2, maxlength: 2000, id: "note" });
    this.fields = h("div", { class: "fields" });
    this.send = h("button", { type: "submit", class: "primary" }, t("file"));
    this.element = h("form", { class: "result", novalidate: true, oninput: () => keep(this.#draft()), onsubmit: (event) => { event.preventDefault(); this.#submit(); } },
      h("fieldset", {}, h("legend", {}, t("file.ask")), h("div", { class: "outcomes" }, this.outcomes)),
      this.fields,
      h("div", { class: "actions" }, this.send, h("button", { type: "button", class: "plain", onclick: giveUp }, t("give-up"), h("kbd", { "aria-hidden": "true" }, "G"))));
    if (draft) this.#restore(draft);
    this.#changed();
  }

  #draft() {
    const ticked = [...this.categories.querySelectorAll("input:checked")].map((one) => one.value);
    return {
      outcome: this.outcome, categories: ticked, severity: this.severity.querySelector("input:checked").value,
      ...Object.fromEntries(WRITTEN.map((name) => [name, this[name].value])),
    };
  }

  #restore(draft) {
    for (const label of this.outcomes) label.firstChild.checked = label.firstChild.value === draft.outcome;
    for (const input of this.categories.querySelectorAll("input")) input.checked = draft.categories.includes(input.value);
    for (const input of this.severity.querySelectorAll("input")) input.checked = input.value === draft.severity;
    for (const name of WRITTEN) this[name].value = draft[name];
  }

  get outcome() {
    return this.outcomes.find((label) => label.firstChild.checked)?.firstChild.value ?? "";
  }

  choose(place) {
    const input = this.outcomes[place]?.firstChild;
    if (!input) return;
    input.focus();
    input.click();
  }

  #changed() {
    const outcome = this.outcome;
    this.send.disabled = !outcome;
    this.send.textContent = outcome ? t("file.this", { outcome: word("outcome", outcome) }) : t("file");
    this.send.className = `primary ${outcome}`;
    const inspected = ["clear", ...FOUND].includes(outcome);
    put(this.fields,
      inspected ? field("method", this.method) : null,
      FOUND.includes(outcome) ? [group("categories", this.categories), group("severity", this.severity), h("div", { class: "pairof" }, field("quantity", this.quantity), field("unit", this.unit))] : null,
      outcome === "not-inspected" ? field("reason", this.reason) : null,
      outcome === "passed-on" ? field("passed_to", this.to) : null,
      outcome ? field("note", this.note) : null);
  }

  #submit() {
    const outcome = this.outcome;
    if (!outcome) return;
    const said = { outcome, note: this.note.value.trim(), method: "none" };
    if (["clear", ...FOUND].includes(outcome)) said.method = this.method.value;
    if (FOUND.includes(outcome)) {
      said.categories = [...this.categories.querySelectorAll("input:checked")].map((one) => one.value);
      said.severity = Number(this.severity.querySelector("input:checked")?.value ?? 1);
      if (!said.categories.length) return this.#missing(this.categories.querySelector("input"), "categories");
      if (this.quantity.value.trim()) {
        said.quantity = quantityOf(this.quantity.value);
        said.quantity_unit = this.unit.value;
        if (Number.isNaN(said.quantity)) return this.#missing(this.quantity, "quantity");
      }
    }
    if (outcome === "not-inspected") {
      said.reason = this.reason.value;
      if (!said.reason) return this.#missing(this.reason, "reason");
    }
    if (outcome === "passed-on") {
      said.passed_to = this.to.value;
      if (!said.passed_to) return this.#missing(this.to, "passed_to");
    }
    this.file(said);
  }

  #missing(input, name) {
    this.fields.querySelector(".missing")?.remove();
    for (const one of this.fields.querySelectorAll("[aria-invalid]")) one.removeAttribute("aria-invalid");
    const id = `missing-${name}`;
    input.setAttribute("aria-invalid", "true");
    input.setAttribute("aria-describedby", id);
    const place = input.closest(".field");
    place.append(h("p", { class: "missing", id, role: "alert" }, t(`missing.${name}`)));
    input.focus();
    place.scrollIntoView({ block: "nearest" });
  }
}

function select(id, values, group, chosen) {
  const options = values.map((value) => h("option", { value, selected: value === chosen }, word(group, value)));
  return h("select", { id }, chosen ? null : h("option", { value: "" }, t("choose")), options);
}

const field = (name, input) => h("p", { class: `field ${name}` }, h("label", { for: input.id }, t(`field.${name}`)), input);
const group = (name, inputs) => h("fieldset", { class: `field ${name}` }, h("legend", {}, t(`field.${name}`)), inputs);
