// The queue: what there is to do, the most urgent first, and beside it the alert that was opened.
import { ask, me } from "./api.js";
import { Detail } from "./detail.js";
import { h, plain, put } from "./dom.js";
import { amount, exactly, has, left, number, t, told, word } from "./i18n.js";

const SPARE = 6;
const LANES = ["red", "yellow", "blue"];

const goodsOf = (row) => { const chapter = `chapter.${row.h4.slice(0, 2)}`; return has(chapter) ? `${row.h4} ${t(chapter)}` : `HS ${row.h4}`; };

// One line that says what to do with what. Written from the row's fields, so that it is in the officer's language.
export function headline(row) {
  const about = { lane: word("task", row.ln), goods: row.h4 && goodsOf(row), from: row.from, kg: amount(row.kg, row.kg < 100 ? 1 : 0), usd: amount(row.usd, 0) };
  const kind = row.st === "passengers" ? "traveller" : row.st === "express-cargo" ? "parcel" : "consignment";
  return t(`headline.${kind}`, about);
}

export const why = (row) => told(row.wc, row.why).filter(Boolean).join(": ");

export function stateOf(row, now) {
  if (row.s === "filed") return "done";
  return row.due < now ? "expired" : "open";
}

export function held(row, now) {
  return row.by && row.until > now ? row.by : "";
}

// Whether an alert was passed on to where this officer does not serve.
export const away = (row) => Boolean(row.to) && !me.points[row.to]?.mine;

export const urgent = (row, now) => row.p === 1 && stateOf(row, now) === "open" && !held(row, now) && !away(row);

export class QueuePage {
  #rows = [];
  #at = "";
  #filter = { tab: "open", st: "", ln: "", ly: "", cat: "", cp: "", text: "" };
  #pool = [];
  #dirty = false;

  constructor(shell) {
    this.shell = shell;
    this.live = shell.live;
    this.detail = new Detail(this);
    this.#build();
    this.live.addEventListener("rows", (event) => {
      this.#soon();
      this.detail.changed(event.detail);
    }, { signal: shell.built });
    this.live.addEventListener("state", () => {
      this.#soon();
      if (this.live.state === "live") this.detail.again();
    }, { signal: shell.built });
  }

  #build() {
    this.tabs = h("div", { class: "tabs", role: "group", "aria-label": t("filter.state") });
    this.find = h("input", { type: "search", placeholder: t("filter.text"), "aria-label": t("filter.text"), maxlength: 80, oninput: (event) => this.#narrow("text", event.target.value.toLowerCase()) });
    this.selects = ["st", "ln", "ly", "cat", "cp"].map((name) => h("select", { "data-filter": name, "aria-label": t(`filter.${name}`), onchange: (event) => this.#narrow(name, event.target.value) }));
    this.filters = h("details", { class: "filters" }, h("summary", {}, t("filter"), h("span", { class: "count" })), h("div", { class: "choices" }, this.selects, h("button", { type: "button", class: "plain", onclick: () => this.#forget() }, t("filter.none"))));
    this.list = h("div", { class: "list", id: "list", role: "listbox", tabindex: 0, "aria-label": t("place.queue"), onscroll: () => this.#later(), onkeydown: (event) => this.#listKey(event) });
    this.sheet = h("div", { class: "sheet" });
    this.list.append(this.sheet);
    this.empty = h("p", { class: "empty" });
    this.decided = h("p", { class: "empty decided" });
    this.element = h("div", { class: "queue" },
      h("section", { class: "left", "aria-label": t("place.queue") }, h("h1", { class: "unseen" }, t("place.queue")), h("div", { class: "head" }, this.tabs, h("div", { class: "line" }, this.find, this.filters)), this.list, this.empty, this.decided),
      this.detail.element);
    new ResizeObserver(() => this.#later()).observe(this.list);
    this.#soon();
  }

  show([alert]) {
    if (alert && alert !== this.#at) this.#open(alert);
    if (!alert) this.#close();
    this.#soon();
  }

  // -- which rows

  #narrow(name, value) {
    this.#filter[name] = value;
    this.list.scrollTop = 0;
    this.#sort();
  }

  #forget() {
    for (const name of ["st", "ln", "ly", "cat", "cp", "text"]) this.#filter[name] = "";
    this.find.value = "";
    this.#sort();
  }

  #soon() {
    if (this.#dirty) return;
    this.#dirty = true;
    setTimeout(() => {
      this.#dirty = false;
      this.#sort();
    }, 50);
  }

  #sort() {
    const now = this.live.now();
    const filter = this.#filter;
    const counts = { open: 0, mine: 0, expired: 0, done: 0 };
    const seen = { st: new Set(), ln: new Set(), ly: new Set(), cat: new Set(), cp: new Set() };
    const rows = [];
    for (const row of this.live.rows.values()) {
      const state = stateOf(row, now);
      const mine = state !== "done" && held(row, now) === me.user;
      counts[state] += 1;
      if (mine) counts.mine += 1;
      seen.st.add(row.st); seen.ln.add(row.ln); seen.ly.add(row.ly); seen.cp.add(row.to ?? row.cp);
      for (const one of row.cat) seen.cat.add(one);
      if (filter.tab === "mine" ? !mine : state !== filter.tab) continue;
      if (filter.st && row.st !== filter.st) continue;
      if (filter.ln && row.ln !== filter.ln) continue;
      if (filter.ly && row.ly !== filter.ly) continue;
      if (filter.cat && !row.cat.includes(filter.cat)) continue;
      if (filter.cp && row.cp !== filter.cp && row.to !== filter.cp) continue;
      if (filter.text && !`${row.ref} ${why(row)} ${row.h4 ? goodsOf(row) : ""} ${row.from ?? ""} ${row.by ?? ""}`.toLowerCase().includes(filter.text)) continue;
      rows.push(row);
    }
    if (filter.tab === "done") rows.sort((a, b) => b.outAt - a.outAt);
    else if (filter.tab === "expired") rows.sort((a, b) => b.due - a.due);
    else rows.sort((a, b) => away(a) - away(b) || a.p - b.p || a.due - b.due || (a.id < b.id ? -1 : 1));
    this.#keepPlace(() => { this.#rows = rows; });
    this.#tabs(counts);
    this.#choices(seen);
    const none = rows.length === 0;
    this.empty.hidden = !none;
    this.list.hidden = none;
    const hidden = counts[filter.tab];
    const reading = this.live.state === "catching-up" || this.live.state === "connecting";
    const signature = JSON.stringify([none, reading, hidden, filter.tab]);
    if (this.empty.dataset.signature === signature) return; // its button stays under the finger
    this.empty.dataset.signature = signature;
    if (reading) put(this.empty, t("empty.reading"));
    else if (hidden) put(this.empty, t("empty.hidden", { count: number(hidden) }), " ", h("button", { type: "button", class: "plain", onclick: () => this.#forget() }, t("filter.none")));
    else put(this.empty, t(`empty.${filter.tab}`), filter.tab === "mine" ? [" ", h("button", { type: "button", class: "plain", onclick: () => this.next() }, t("next.take"), h("kbd", { "aria-hidden": "true" }, "N"))] : null);
  }

  // The row under the officer's eye stays there when others come in above it.
  #keepPlace(change) {
    const height = this.#height();
    const top = this.list.scrollTop;
    const index = Math.floor(top / height);
    const anchor = top > height ? this.#rows[index]?.id : undefined;
    change();
    this.sheet.style.height = `${this.#rows.length * height}px`;
    if (anchor) {
      const moved = this.#rows.findIndex((row) => row.id === anchor);
      if (moved >= 0 && moved !== index) this.list.scrollTop = top + (moved - index) * height;
    }
    this.#paint();
  }

  #tabs(counts) {
    const signature = JSON.stringify([counts, this.#filter.tab]);
    if (this.tabs.dataset.signature === signature) return;
    this.tabs.dataset.signature = signature;
    const names = me.handles ? ["open", "mine", "expired", "done"] : ["open", "expired", "done"];
    if (this.tabs.childElementCount !== names.length) {
      put(this.tabs, names.map((name) => h("button", { type: "button", "data-tab": name, onclick: () => this.#narrow("tab", name) }, h("span", {}, t(`tab.${name}`)), " ", h("b", {}))));
    }
    for (const button of this.tabs.children) {
      button.setAttribute("aria-pressed", String(button.dataset.tab === this.#filter.tab));
      button.lastChild.textContent = number(counts[button.dataset.tab]);
      button.classList.toggle("urgent", button.dataset.tab === "expired" && counts.expired > 0);
    }
  }

  #choices(seen) {
    const points = Object.entries(me.points).filter(([, point]) => point.mine).map(([name]) => name);
    const known = { st: [...seen.st].sort(), ln: LANES, ly: [...seen.ly].sort(), cat: [...seen.cat].sort(), cp: [...new Set([...points, ...seen.cp])].sort() };
    let active = 0;
    for (const select of this.selects) {
      const name = select.dataset.filter;
      if (this.#filter[name]) active += 1;
      const signature = known[name].join();
      if (select.dataset.signature !== signature) {
        select.dataset.signature = signature;
        const groups = { st: "stream", ln: "lane", ly: "layer", cat: "category" };
        put(select, h("option", { value: "" }, t(`filter.${name}`)), known[name].map((one) => h("option", { value: one }, name === "cp" ? `${one} ${me.points[one]?.title ?? ""}` : word(groups[name], one))));
      }
      select.value = this.#filter[name];
    }
    this.filters.querySelector(".count").textContent = active ? ` (${active})` : "";
  }

  // -- drawing only what is seen

  #height() {
    return parseFloat(getComputedStyle(this.list).getPropertyValue("--row")) || 66;
  }

  #later() {
    if (this.waiting) return;
    this.waiting = true;
    requestAnimationFrame(() => {
      this.waiting = false;
      this.#paint();
    });
  }

  #paint() {
    const height = this.#height();
    const first = Math.max(0, Math.floor(this.list.scrollTop / height) - SPARE);
    const last = Math.min(this.#rows.length, Math.ceil((this.list.scrollTop + this.list.clientHeight) / height) + SPARE);
    const wanted = last - first;
    while (this.#pool.length < wanted) this.#pool.push(this.#blank());
    const now = this.live.now();
    let shown = "";
    // A row keeps its line while it is in sight: what scrolls in is drawn, and nothing else.
    const lines = this.#pool.length;
    for (let place = 0; place < lines; place += 1) {
      const line = this.#pool[place];
      const index = first + ((place - (first % lines) + lines) % lines);
      const row = index < last ? this.#rows[index] : null;
      if (!row) { if (line.isConnected) line.remove(); continue; }
      this.#draw(line, row, index, height, now);
      if (!line.isConnected) this.sheet.append(line);
      if (row.id === this.#at) shown = line.id;
    }
    if (shown) this.list.setAttribute("aria-activedescendant", shown);
    else this.list.removeAttribute("aria-activedescendant");
  }

  #blank() {
    const parts = { title: h("b", {}), ...Object.fromEntries(["priority", "time", "ref", "why", "chips"].map((name) => [name, h("span", { class: name })])) };
    const line = h("div", { class: "row", role: "option", onclick: () => { location.hash = `queue/${line.dataset.id}`; this.list.focus({ preventScroll: true }); } },
      parts.priority, h("span", { class: "what" }, h("span", {}, parts.title, parts.time), h("span", {}, parts.ref, parts.why, parts.chips)));
    line.parts = parts;
    return line;
  }

  #draw(line, row, index, height, now) {
    const placed = `${index} ${height} ${this.#rows.length} ${row.id === this.#at}`;
    if (line.placed !== placed) {
      line.placed = placed;
      line.style.transform = `translateY(${index * height}px)`;
      line.setAttribute("aria-setsize", this.#rows.length);
      line.setAttribute("aria-posinset", index + 1);
      line.setAttribute("aria-selected", String(row.id === this.#at));
    }
    const { priority, title, time, chips } = line.parts;
    const state = stateOf(row, now);
    const by = state === "done" ? "" : held(row, now);
    const drawn = `${row.id}|${state}|${by}|${row.out ?? ""}|${row.to ?? ""}`;
    if (line.dataset.drawn !== drawn) {
      line.dataset.drawn = drawn;
      line.dataset.id = row.id;
      line.id = `row-${row.id}`;
      line.className = `row p${row.p} ${state} ${by ? (by === me.user ? "mine" : "theirs") : ""}`;
      priority.textContent = row.p;
      priority.title = t("priority", { p: row.p });
      priority.setAttribute("aria-label", priority.title);
      title.textContent = plain(headline(row));
      line.parts.ref.textContent = plain(row.st === "passengers" ? row.ref : row.ref.slice(row.ref.lastIndexOf("/") + 1));
      line.parts.why.textContent = plain(why(row));
      put(chips, chipsOf(row, state, by));
    }
    const [text, kind] = timeOf(row, state, now);
    if (time.textContent !== text) time.textContent = text;
    time.className = `time ${kind}`;
  }

  tick() {
    const now = this.live.now();
    // An alert whose time ran out moves to its own tab.
    if (this.#rows.some((row) => (this.#filter.tab === "open" ? stateOf(row, now) !== "open" : false))) this.#sort();
    else this.#paint();
    // An empty queue is told from one that nothing reaches any more.
    const { decidedAt } = this.live;
    this.decided.textContent = decidedAt && !this.#rows.length && this.#filter.tab === "open" ? t("empty.decided", { time: exactly(decidedAt) }) : "";
    this.detail.tick();
  }

  // -- moving and opening

  #listKey(event) {
    const page = Math.max(1, Math.floor(this.list.clientHeight / this.#height()) - 1);
    const steps = { ArrowDown: 1, ArrowUp: -1, PageDown: page, PageUp: -page, Home: -1e9, End: 1e9 };
    if (event.key in steps) {
      event.preventDefault();
      this.#move(steps[event.key]);
    } else if (event.key === "Enter") {
      event.preventDefault();
      this.detail.focus();
    }
  }

  #move(by) {
    if (!this.#rows.length) return;
    const now = this.#rows.findIndex((row) => row.id === this.#at);
    const next = Math.min(this.#rows.length - 1, Math.max(0, now < 0 ? 0 : now + by));
    this.#reveal(next);
    location.hash = `queue/${this.#rows[next].id}`;
  }

  #reveal(index) {
    const height = this.#height();
    const [top, bottom] = [index * height, (index + 1) * height];
    if (top < this.list.scrollTop) this.list.scrollTop = top;
    else if (bottom > this.list.scrollTop + this.list.clientHeight) this.list.scrollTop = bottom - this.list.clientHeight;
  }

  next() {
    if (this.#filter.tab !== "open") this.#narrow("tab", "open"); // that is where free ones are
    const now = this.live.now();
    const free = this.#rows.find((row) => row.id !== this.#at && stateOf(row, now) === "open" && !held(row, now) && !away(row));
    if (free) {
      this.#reveal(this.#rows.indexOf(free));
      location.hash = `queue/${free.id}`;
    } else location.hash = "queue";
  }

  key(key) {
    const keys = {
      j: () => this.#move(1), k: () => this.#move(-1), n: () => this.next(), "/": () => this.find.focus(),
      f: () => { this.filters.open = true; this.selects[0].focus(); },
    };
    const chosen = keys[key];
    if (chosen) { chosen(); return true; }
    return this.detail.key(key);
  }

  escape() {
    location.hash = "queue";
  }

  #open(alert) {
    this.#at = alert;
    this.element.classList.add("reading");
    this.#paint();
    this.detail.open(alert);
    if (!this.list.checkVisibility()) this.detail.element.focus({ preventScroll: true }); // narrow: it stands alone
  }

  #close() {
    const focused = document.activeElement;
    const left = this.#at && (focused === document.body || this.detail.element.contains(focused));
    this.#at = "";
    this.element.classList.remove("reading");
    this.detail.close();
    this.#paint();
    if (left) this.list.focus({ preventScroll: true });
  }

  hide() {}

  async act(path, body, alert, refused) {
    try {
      return await ask(path, body ?? {});
    } catch (error) {
      if (error.status >= 400 && error.status < 500) refused?.();
      this.shell.say(error, alert);
      return null;
    }
  }
}

export function timeOf(row, state, now) {
  if (state === "done") return [word("outcome", row.out), `out ${row.out}`];
  const ms = row.due - now;
  if (ms < 0) return [left(ms), "gone"];
  return [left(ms), ms < 900000 ? "bad" : ms < 3600000 ? "soon" : ""];
}

export function chipsOf(row, state, by) {
  const chips = [];
  if (by) chips.push(h("span", { class: "chip claim" }, by === me.user ? t("claimed.you") : by));
  else if (state === "done") chips.push(h("span", { class: "chip" }, row.outBy));
  if (away(row)) chips.push(h("span", { class: "chip" }, `→ ${row.to}`));
  else if (row.to && row.to !== row.cp) chips.push(h("span", { class: "chip" }, t("from", { cp: row.cp })));
  chips.push(h("span", { class: `chip lane ${row.ln}` }, word("lane", row.ln)));
  return chips;
}
