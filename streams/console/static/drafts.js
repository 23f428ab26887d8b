// What is half written, in this tab alone: reports by alert, and notes to the authors of criteria. It outlasts another
// place, a reload, and the end of a claim or a session, until it was sent, its officer signs out, or somebody else signs in
// on this browser. What is written after it was sent is not sent with it, and stays.
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

export const draftOf = (about) => held[about];

export function keepDraft(about, draft) {
  held[about] = { ...draft, sent: held[about]?.sent };
  write();
}

// It goes out now. The id of the request: the same when the same is sent again, so that it has one effect.
export function sending(about, at) {
  const { sent, ...written } = held[about] ?? {};
  const text = JSON.stringify(written);
  const request = sent?.text === text ? sent.request : crypto.randomUUID?.() ?? String(Math.random());
  held[about] = { ...written, sent: { request, text, at } };
  write();
  return request;
}

// What was sent was refused: if something stands, it is something else.
export function refused(about) {
  if (!held[about]?.sent) return;
  delete held[about].sent;
  write();
}

// What was sent is there, since `at`.
export function arrived(about, at = Infinity) {
  const { sent, ...written } = held[about] ?? {};
  if (!sent || sent.at > at) return;
  if (JSON.stringify(written) === sent.text) delete held[about];
  else held[about] = written;
  write();
}

export function forgetDrafts() {
  held = {};
  write();
}
