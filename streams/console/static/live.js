// The live queue: rows by alert, fed by server-sent events. A position says what this page has; a connection that was
// lost is taken up from there, so that nothing is missed, and a row is kept by its alert's id, so nothing is there twice.
import { ended } from "./api.js";

const SILENT_MS = 12000;
const STALE_MS = 10000; // as long as another broker may take to lead where one has failed
const RETRY_MS = [300, 600, 1200, 2500, 5000];

export class Live extends EventTarget {
  rows = new Map();
  state = "connecting"; // connecting, live, catching-up, stale (the console hears nothing of the brokers), lost
  skew = 0; // the console's clock minus this one's
  lostAt = 0;
  heardAt = 0; // when the brokers last answered the console
  decidedAt = 0; // when the latest item of all was decided
  dropped = 0; // alerts that the console no longer holds
  unread = 0; // alerts that it could not read
  #position = "";
  #anew = false; // the parts that come now are everything anew: none of them is news
  #source = null;
  #tries = 0;
  #watch = 0;
  #retry = 0;
  #resting = false;

  now() {
    return Date.now() + this.skew;
  }

  start() {
    this.#connect();
    addEventListener("online", () => this.#again(0));
    document.addEventListener("visibilitychange", () => {
      if (document.hidden) return;
      if (this.#resting) this.#connect();
      else if (this.state === "lost") this.#again(0);
    });
  }

  // Another tab of this browser is looked at: one that is not lets go of its connection, of which browsers have six.
  rest() {
    if (!document.hidden) return;
    this.#resting = true;
    clearTimeout(this.#watch);
    clearTimeout(this.#retry);
    this.#source?.close();
    this.#source = null;
    this.#become("connecting");
  }

  #connect() {
    clearTimeout(this.#retry);
    this.#resting = false;
    this.#source?.close();
    const source = (this.#source = new EventSource(`/api/stream?after=${encodeURIComponent(this.#position)}`));
    this.#heard();
    source.addEventListener("rows", (event) => this.#take(event));
    source.addEventListener("beat", (event) => this.#beat(JSON.parse(event.data), event.lastEventId));
    source.addEventListener("ended", () => { source.close(); ended(); });
    source.onerror = () => {
      if (this.#source === source) this.#lose();
    };
  }

  #take(event) {
    const told = JSON.parse(event.data);
    if (told.reset) {
      this.rows.clear();
      this.#anew = true;
    }
    const fresh = this.#anew || !told.ready ? [] : told.rows.filter((row) => row.s === "open" && !this.rows.has(row.id));
    this.#anew &&= told.more;
    for (const row of told.rows) {
      if (row.s === "gone") this.rows.delete(row.id);
      else this.rows.set(row.id, row);
    }
    this.#beat(told, event.lastEventId);
    this.dispatchEvent(new CustomEvent("rows", { detail: told.rows }));
    if (fresh.length) this.dispatchEvent(new CustomEvent("fresh", { detail: fresh }));
  }

  #beat(told, position) {
    if (position) this.#position = position;
    this.skew = told.now - Date.now();
    const less = told.dropped !== this.dropped || told.unread !== this.unread;
    [this.dropped, this.unread] = [told.dropped, told.unread];
    this.#tries = 0;
    this.#heard();
    this.heardAt = told.now - told.silent;
    this.decidedAt = told.decided;
    this.#become(told.silent > STALE_MS ? "stale" : told.ready && !told.more ? "live" : "catching-up");
    if (less) this.dispatchEvent(new Event("state"));
  }

  #heard() {
    clearTimeout(this.#watch);
    this.#watch = setTimeout(() => this.#lose(), SILENT_MS);
  }

  async #lose() {
    clearTimeout(this.#watch);
    this.#source?.close();
    this.#source = null;
    if (this.state !== "lost") this.lostAt = this.now();
    this.#become("lost");
    try {
      if ((await fetch("/api/me", { signal: AbortSignal.timeout(4000) })).status === 401) ended();
    } catch { /* not reachable: tried again below */ }
    this.#again(RETRY_MS[Math.min(this.#tries++, RETRY_MS.length - 1)] * (0.8 + 0.4 * Math.random()));
  }

  #again(delay) {
    if (this.state !== "lost") return;
    clearTimeout(this.#retry);
    this.#retry = setTimeout(() => this.#connect(), delay);
  }

  #become(state) {
    if (this.state === state) return;
    this.state = state;
    this.dispatchEvent(new Event("state"));
  }
}
