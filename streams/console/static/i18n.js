// The catalogue (i18n/<language>.json), and numbers, times and durations as the language writes them.
let words = {};
let fallback = {};
let phrases = [];
const said = new Map();
export let language = "en";

export async function speak(wanted) {
  const load = async (name) => (await fetch(`/static/i18n/${name}.json`)).json();
  if (!Object.keys(fallback).length) fallback = await load("en");
  const spoken = wanted === "ko" ? "ko" : "en";
  const all = [spoken === "en" ? fallback : await load(spoken), await load(`phrases.${spoken}`)]; // all of it, or none
  language = spoken;
  words = all[0];
  phrases = all[1].map(([from, to]) => [new RegExp(`^(?:${from})$`, "i"), to]);
  said.clear();
  document.documentElement.lang = language;
}

// {count} is the value; {count|item|items} the word for one, or for any other number of them.
export function t(key, about = {}) {
  const text = words[key] ?? fallback[key] ?? key;
  return text.replace(/\{(\w+)(?:\|([^|}]*)\|([^}]*))?\}/g, (_, name, one, many) => (one === undefined ? about[name] ?? "" : String(about[name]) === "1" ? one : many));
}

export const has = (key) => key in words || key in fallback;

// A code of the domain in words, or the code itself: an installation may have codes of its own.
export const word = (group, code, about) => (code ? (has(`${group}.${code}`) ? t(`${group}.${code}`, about) : code) : "");

// The same for what needs no name: nothing for a code that the catalogue lacks, because its text says it all.
export const named = (group, code) => (has(`${group}.${code}`) ? t(`${group}.${code}`) : "");

// A reason's text in the language of the page. The loop writes English, with a plural where there may be one;
// i18n/phrases.<language>.json has its sentences.
// What is in no sentence there (a criterion's title, a code) stays as it is.
export function phrase(text) {
  if (!said.has(text)) {
    if (said.size > 20_000) said.clear();
    said.set(text, translated(text));
  }
  return said.get(text);
}

function translated(text) {
  for (const [from, to] of phrases) {
    const found = from.exec(text);
    if (found) return to.replace(/\$(\d)/g, (_, place) => phrase(found[place] ?? ""));
  }
  if (language === "en") return text;
  if (text.includes(", ")) return text.split(", ").map(phrase).join(", ");
  return named("matched", text.toLowerCase()) || named("category", text) || text;
}

// A reason as a title and what it says beside it, if that is more than the title.
export function told(code, text) {
  const [name, sentence] = [named("reason", code), phrase(text)];
  if (!name || sentence.toLowerCase().startsWith(name.toLowerCase())) return [sentence.slice(0, 1).toUpperCase() + sentence.slice(1), ""];
  return [name, sentence];
}

export const number = (value, digits = 0) =>
  new Intl.NumberFormat(language, { maximumFractionDigits: digits }).format(value ?? 0);
// A mass or a value: what is less than one does not become nothing.
export const amount = (value, digits) => new Intl.NumberFormat(language, value < 1 ? { maximumSignificantDigits: 2 } : { maximumFractionDigits: digits }).format(value);
// Scores are compared, also where both are a hundredth.
export const score = (value) => new Intl.NumberFormat(language, { maximumSignificantDigits: 3 }).format(value);
export const percent = (value, digits = 1) =>
  new Intl.NumberFormat(language, { style: "percent", maximumFractionDigits: digits }).format(value ?? 0);

const zone = Intl.DateTimeFormat().resolvedOptions().timeZone;
export const zoneName = () => zone;

export const clock = (ms) => new Intl.DateTimeFormat(language, { hour: "2-digit", minute: "2-digit", second: "2-digit", hourCycle: "h23" }).format(ms);
export const when = (ms) =>
  new Intl.DateTimeFormat(language, { year: "numeric", month: "short", day: "numeric", hour: "2-digit", minute: "2-digit", hourCycle: "h23", timeZoneName: "short" }).format(ms);
// To the second: what happened within one minute is told in its order.
export const exactly = (ms) =>
  new Intl.DateTimeFormat(language, { month: "short", day: "numeric", hour: "2-digit", minute: "2-digit", second: "2-digit", hourCycle: "h23" }).format(ms);
// A time of today to the second; of another day with its date, as what was filed yesterday was not filed today.
export const dayOf = (ms) => new Date(ms).toDateString();
export const since = (ms, now) => (dayOf(ms) === dayOf(now) ? clock(ms) : exactly(ms));
export const shortWhen = (ms) =>
  new Intl.DateTimeFormat(language, { month: "short", day: "numeric", hour: "2-digit", minute: "2-digit", hourCycle: "h23" }).format(ms);

// Time left: to the second within the hour, to the minute within two days, in days beyond.
export function left(ms) {
  const over = ms < 0;
  const total = Math.floor(Math.abs(ms) / 1000);
  const [hours, minutes, seconds] = [Math.floor(total / 3600), Math.floor(total / 60) % 60, total % 60];
  const two = (value) => String(value).padStart(2, "0");
  let text;
  if (hours >= 48) text = t("time.days", { days: Math.floor(hours / 24), hours: hours % 24 });
  else if (hours >= 1) text = t("time.hours", { hours, minutes: two(minutes) });
  else text = `${minutes}:${two(seconds)}`;
  return over ? t("time.over", { time: text }) : text;
}
