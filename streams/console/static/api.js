// Requests to the console. A session that ended leads to the sign-in page, from wherever it is noticed.
const PATIENCE_MS = 20_000;
const PRESENT_MS = 60_000;
let csrf = "";
let presentAt = -PRESENT_MS;
let leaving = false;
let signingOut = null; // the sign-out under way
export let me = null;

export async function signIn() {
  me = await ask("/api/me");
  csrf = me.csrf;
  return me;
}

// This page has the token of a session before: the user signed in anew in another tab, or the console began anew behind
// a proxy that still names them. What another user has begun there is not gone on with here.
async function signedInAnew() {
  const { user, role } = me;
  await signIn();
  if (me.user === user && me.role === role) return;
  location.reload();
  throw new Refused(401, { error: "ended" });
}

// The first reason to leave wins: a second navigation would abort the first.
function leave(place) {
  if (leaving) return;
  leaving = true;
  location.assign(place);
}

// While somebody signs out, the end of the session is told elsewhere too, and may be before the answer.
export function ended() {
  if (!signingOut) leave(`/login?refused=ended${location.hash}`);
}

// Pressed twice, it is one. A session that was over before ends as it would anywhere else.
export function signOut() {
  signingOut ??= ask("/logout", {}).then(() => leave("/login"), (error) => {
    signingOut = null;
    if (error.status === 401) ended();
    throw error;
  });
  return signingOut;
}

// Somebody is there: typing alone is no request, and the session would end under them.
export function present() {
  const now = performance.now(); // the clock may be put back
  if (now - presentAt < PRESENT_MS) return;
  presentAt = now;
  ask("/api/ping", {}).catch(() => { /* the next request says why */ });
}

export class Refused extends Error {
  constructor(status, about, retry_s = 0) {
    super(about.error ?? String(status));
    this.status = status;
    this.retry_s = retry_s;
    this.about = about;
  }
}

export async function ask(path, body, again = false) {
  const signal = AbortSignal.timeout(PATIENCE_MS);
  const options = body === undefined ? { signal } : {
    signal,
    method: "POST",
    headers: { "Content-Type": "application/json", "X-CSRF-Token": csrf },
    body: JSON.stringify(body),
  };
  let answer, text;
  try {
    answer = await fetch(path, options);
    text = await answer.text();
  } catch {
    throw new Refused(0, { error: body === undefined ? "offline" : "unsure" });
  }
  if (answer.status === 401) {
    ended();
    throw new Refused(401, { error: "ended" });
  }
  if (!answer.ok) {
    let about = {};
    try { about = JSON.parse(text); } catch { about = { error: `http-${answer.status}` }; }
    if (about.error === "token" && !again) { // it was not looked at: to repeat it does nothing twice
      await signedInAnew();
      return ask(path, body, true);
    }
    throw new Refused(answer.status, about, Number(answer.headers.get("Retry-After")));
  }
  return text ? JSON.parse(text) : null;
}
