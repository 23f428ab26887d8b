// The page: the bar with its places, what stands above all of them (connection, notices), and who shows what.
import { me, present, signIn, signOut } from "./api.js";
import { h, put } from "./dom.js";
import { forgetDrafts, openDrafts } from "./drafts.js";
import { clock, dayOf, language, named, number, since, speak, t, word, zoneName } from "./i18n.js";
import { Live } from "./live.js";
import { QueuePage, headline, urgent } from "./queue.js";
import { DayPage } from "./day.js";
import { SearchPage } from "./search.js";
import { TrailPage } from "./trail.js";

const QUIET_MS = 2000;
const AGAIN_MS = 2000;
const URGENT_EVERY_MS = 30_000;
const OVER = ".menu[open], .filters[open]";

const kept = {
  get: (name, otherwise) => { try { return localStorage.getItem(name) ?? otherwise; } catch { return otherwise; } },
  set: (name, value) => { try { localStorage.setItem(name, value); } catch { /* a private window forgets */ } },
};

// What stands on the key, whatever caps lock or a Korean layout makes of it.
function keyOf({ key, code, shiftKey }) {
  if (/^[ㄱ-ㅣ]$/.test(key) && code.startsWith("Key")) return code.slice(3).toLowerCase();
  return key.length === 1 && !shiftKey ? key.toLowerCase() : key;
}

class Shell {
  live = new Live();
  shortcuts = kept.get("shortcuts", "on") === "on";
  #pages = {};
  #place = "";
  #built = null;
  #tabs = new BroadcastChannel("borderflow");
  #quietUntil = 0; // until then keys are no shortcuts
  #urgent = new Set(); // new alerts of priority 1 that are not announced yet
  #told = 0;
  #day = ""; // on which it was said since when nothing is heard

  async start() {
    this.theme(kept.get("theme", "auto"));
    await this.#begin();
    this.live.skew = me.now - Date.now();
    openDrafts(me.user);
    this.#tabs.onmessage = ({ data }) => {
      if (data === me.user) return this.live.rest();
      forgetDrafts();
      location.reload();
    };
    this.#tabs.postMessage(me.user);
    document.addEventListener("visibilitychange", () => { if (!document.hidden) this.#tabs.postMessage(me.user); });
    this.#return();
    this.live.addEventListener("state", () => this.#connection());
    this.live.addEventListener("fresh", (event) => this.#news(event.detail));
    this.live.start();
    addEventListener("hashchange", () => this.#go());
    addEventListener("pageshow", (event) => { if (event.persisted) location.reload(); }); // Back may be somebody else's
    addEventListener("keydown", (event) => this.#key(event));
    addEventListener("pointerdown", () => { this.#quietUntil = 0; });
    for (const turn of ["pointerdown", "focusin"]) addEventListener(turn, (event) => this.#turned(event.target));
    for (const act of ["keydown", "pointerdown", "pointermove", "wheel"]) addEventListener(act, present, { passive: true });
    setInterval(() => this.#tick(), 1000);
    this.#build();
  }

  // What the page cannot do without is asked for until it is there: index.html says meanwhile that it is loading.
  async #begin() {
    for (;;) {
      try {
        await signIn();
        return await speak(kept.get("language", navigator.language.startsWith("ko") ? "ko" : "en"));
      } catch (error) {
        if (error.status === 401) throw error;
        await new Promise((done) => setTimeout(done, AGAIN_MS));
      }
    }
  }

  // To the alert that the sign-in was on the way to.
  #return() {
    try {
      const hash = sessionStorage.getItem("return-to");
      sessionStorage.removeItem("return-to");
      if (hash && !location.hash) history.replaceState(null, "", hash);
    } catch { /* a private window forgets */ }
  }

  #build() {
    this.#pages[this.#place]?.hide?.();
    this.#built?.abort(); // the pages before this one listen no more
    this.#built = new AbortController();
    this.built = this.#built.signal;
    this.#pages = { queue: new QueuePage(this), day: new DayPage(this), search: new SearchPage(this) };
    if (me.role === "supervisor") this.#pages.trail = new TrailPage(this);
    this.#bar();
    this.#place = "";
    this.#go();
    this.#connection();
  }

  #bar() {
    this.clock = h("span", { class: "clock", title: zoneName() }, clock(this.live.now()));
    this.status = h("span", { class: "status", role: "status" });
    const link = (name, key) => h("a", { href: `#${name}`, "data-place": name, class: "place" }, t(`place.${name}`), h("kbd", { "aria-hidden": "true" }, key));
    this.menu = h("details", { class: "menu" },
      h("summary", { "aria-label": t("menu.open", { user: me.user }) }, h("span", { class: "avatar", "aria-hidden": "true" }, me.user.slice(0, 1).toUpperCase()), h("span", { class: "wide" }, me.user)),
      h("div", { class: "sheet" },
        h("p", { class: "who" }, h("strong", {}, me.user), " · ", t(`role.${me.role}`)),
        this.#select("menu.language", { en: "English", ko: "한국어" }, language, (value) => this.#speak(value)),
        this.#select("menu.theme", { auto: t("theme.auto"), light: t("theme.light"), dark: t("theme.dark"), wall: t("theme.wall") }, document.documentElement.dataset.theme, (value) => { kept.set("theme", value); this.theme(value); }),
        this.#select("menu.shortcuts", { on: t("menu.on"), off: t("menu.off") }, this.shortcuts ? "on" : "off", (value) => { kept.set("shortcuts", value); this.shortcuts = value === "on"; document.documentElement.dataset.keys = value; }),
        h("button", { type: "button", class: "plain", onclick: () => this.help() }, t("menu.help")),
        me.proxy ? null : h("button", { type: "button", class: "plain", onclick: () => this.#out() }, t("menu.out"))));
    document.documentElement.dataset.keys = this.shortcuts ? "on" : "off";
    put(document.getElementById("bar"),
      h("a", { href: "#main", class: "skip", onclick: (event) => { event.preventDefault(); document.getElementById("main").focus(); } }, t("skip")),
      h("a", { href: "#queue", class: "brand", "aria-label": "borderflow" }, h("img", { src: "/static/icon.svg", alt: "", width: 26, height: 26 }), h("span", { class: "wide" }, "borderflow")),
      h("nav", { "aria-label": t("places") }, link("queue", "Q"), link("day", "D"), link("search", "S"), this.#pages.trail ? link("trail", "T") : null),
      h("span", { class: "space" }),
      me.simulated ? h("span", { class: "chip simulated", title: t("simulated.why") }, t("simulated")) : null,
      this.status, this.clock, this.menu);
  }

  #select(label, choices, chosen, change) {
    return h("label", { class: "pair" }, h("span", {}, t(label)),
      h("select", { onchange: (event) => change(event.target.value) }, Object.entries(choices).map(([value, text]) => h("option", { value, selected: value === chosen }, text))));
  }

  // Without a connection to fetch its words over, the page goes on in the language that it has.
  async #speak(value) {
    try { await speak(value); } catch { this.say({ about: { error: "offline" } }); }
    if (language === value) kept.set("language", value);
    this.#build();
  }

  async #out() {
    try { await signOut(); } catch (error) { if (error.status !== 401) return this.say(error); }
    forgetDrafts(); // not before: who could not be signed out goes on
    this.#tabs.postMessage("");
  }

  theme(name) {
    document.documentElement.dataset.theme = name;
  }

  #go() {
    const [place, ...rest] = location.hash.slice(1).split("/");
    const name = place in this.#pages ? place : "queue";
    if (name !== this.#place) {
      this.#pages[this.#place]?.hide?.();
      this.#place = name;
      put(document.getElementById("main"), this.#pages[name].element);
      for (const link of document.querySelectorAll("[data-place]")) {
        if (link.dataset.place === name) link.setAttribute("aria-current", "page");
        else link.removeAttribute("aria-current");
      }
      this.#title();
    }
    let about = [];
    try { about = rest.map(decodeURIComponent); } catch { /* no address of ours */ }
    this.#pages[name].show(about);
  }

  // -- alerts of priority 1 that nobody is on: how many in the title, and new ones said on every place

  // A tab that is not looked at must not say that there are none when it hears of none.
  #title() {
    const now = this.live.now();
    let count = 0;
    for (const row of this.live.rows.values()) if (urgent(row, now)) count += 1;
    const said = this.live.state !== "live" ? "?" : count;
    document.title = `${said ? `(${said}) ` : ""}${t(`place.${this.#place}`)} · borderflow`;
  }

  #news(rows) {
    if (me.role === "analyst") return;
    for (const row of rows) if (row.p === 1) this.#urgent.add(row.id);
    this.#announce();
  }

  #announce() {
    const now = this.live.now();
    if (!this.#urgent.size || now - this.#told < URGENT_EVERY_MS) return;
    const rows = [...this.#urgent].map((id) => this.live.rows.get(id)).filter((row) => row && urgent(row, now));
    this.#urgent.clear();
    if (!rows.length) return;
    this.#told = now;
    this.toast(rows.length === 1 ? t("urgent.one", { headline: headline(rows[0]) }) : t("urgent.many", { count: number(rows.length) }), "bad");
  }

  #connection() {
    const state = this.live.state;
    put(this.status, h("i", { class: `dot ${state}`, "aria-hidden": "true" }), h("span", { class: "wide" }, t(`state.${state}`)));
    this.status.setAttribute("aria-label", t(`state.${state}`));
    const notice = document.getElementById("notice");
    notice.className = state;
    const now = this.live.now();
    this.#day = dayOf(now);
    if (state === "lost") put(notice, t("lost", { time: since(this.live.lostAt, now) }));
    else if (state === "stale") put(notice, t("stale", { time: since(this.live.heardAt, now) }));
    else put(notice, ["dropped", "unread"].filter((what) => this.live[what] > 0).map((what) => h("p", {}, t(what, { count: this.live[what] }))));
  }

  #tick() {
    const now = this.live.now();
    if (dayOf(now) !== this.#day) this.#connection(); // what was said is of yesterday now
    this.clock.textContent = clock(now);
    this.#title();
    this.#announce();
    this.#pages[this.#place]?.tick?.();
  }

  // What lies over the page is put away when somebody turns to something else.
  #turned(target) {
    for (const one of document.querySelectorAll(OVER)) if (!one.contains(target)) one.open = false;
  }

  #key(event) {
    const field = event.target.closest?.("input:not([type=radio]):not([type=checkbox]), textarea, select");
    if (event.ctrlKey || event.metaKey || event.altKey || event.isComposing) return;
    const report = event.target.closest?.(".result");
    if (event.key === "Escape") {
      if (document.querySelector("dialog[open]")) return;
      const over = document.querySelector(OVER);
      if (over) {
        over.open = false;
        return over.firstChild.focus();
      }
      if (field || report) event.target.blur();
      else this.#pages[this.#place]?.escape?.();
      return;
    }
    if (field || !this.shortcuts || document.querySelector("dialog[open]")) return;
    if (performance.now() < this.#quietUntil) return this.pause();
    const key = keyOf(event);
    if (report && (!/^[1-5]$/.test(key) || event.target.name === "severity")) return; // whose choices have numbers too
    const places = { q: "queue", d: "day", s: "search", t: "trail" };
    if (key === "?") return this.help();
    if (this.#pages[this.#place]?.key?.(key)) return event.preventDefault();
    if (!event.shiftKey && places[key] in this.#pages) {
      event.preventDefault();
      location.hash = places[key];
    }
  }

  // A field went away under somebody's hands: what they type on is no shortcut, until they stop for a moment.
  pause() {
    this.#quietUntil = performance.now() + QUIET_MS;
  }

  help() {
    const keys = ["j k", "enter", "c", "g", "1 2 3", "4", "5", "u", "n", "/", "f", "q d s", ...("trail" in this.#pages ? ["t"] : []), "esc", "?"];
    const dialog = h("dialog", { class: "help", "aria-labelledby": "help-title", onclose: (event) => event.target.remove() },
      h("h2", { id: "help-title" }, t("menu.help")),
      h("dl", {}, keys.map((key) => [h("dt", {}, key.split(" ").map((one) => h("kbd", {}, one))), h("dd", {}, t(`key.${key}`))])),
      h("form", { method: "dialog" }, h("button", { class: "primary" }, t("close"))));
    document.body.append(dialog);
    dialog.showModal();
  }

  // What is said of an alert takes the place of what was said of it before.
  toast(text, kind = "good", about = "") {
    const toasts = document.getElementById("toasts");
    for (const shown of [...toasts.children]) {
      if (shown.textContent === text) return;
      if (about && shown.dataset.about === about) shown.remove();
    }
    const toast = h("p", { class: `toast ${kind}`, "data-about": about }, text);
    toasts.append(toast);
    setTimeout(() => toast.remove(), kind === "bad" ? 9000 : 4500);
  }

  say(error, of = "") {
    if (error.status === 401) return;
    const about = error.about ?? {};
    const key = `error.${about.error ?? "unknown"}`;
    if (about.field) {
      about.detail = named("refused", about.why) || about.detail;
      about.field = named("field", about.field.replace(/\[.*/, "")) || about.field;
    }
    about.outcome = word("outcome", about.outcome);
    this.toast(t(key) === key ? t("error.unknown", { code: about.error ?? error.status ?? "?" }) : t(key, { ...about, by: about.by || t("somebody") }), "bad", of);
  }
}

const shell = new Shell();
window.borderflow = { live: shell.live }; // for the project's own tests: what this page holds
shell.start();
