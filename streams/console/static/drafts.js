// Half-written reports by alert, in this tab alone. They outlast another place, a reload, and the end of a claim or a
// session, until they are filed, their officer signs out, or somebody else signs in on this browser.
const NAME = "drafts";
let owner = "";
let held = {};

function write() {
  try { sessionStorage.setItem(NAME, JSON.stringify({ owner, held })); } catch { /* no room: this page has them */ }
}

export function openDrafts(user) {
  owner = user;
  held = {};
  try {
    const kept = JSON.parse(sessionStorage.getItem(NAME));
    if (kept.owner === user) held = kept.held;
  } catch { /* there is none */ }
  write();
}

export const draftOf = (alert) => held[alert];

export function keepDraft(alert, draft) {
  held[alert] = draft;
  write();
}

export function dropDraft(alert) {
  delete held[alert];
  write();
}

export function forgetDrafts() {
  held = {};
  write();
}
