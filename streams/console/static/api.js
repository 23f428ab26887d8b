// Requests to the console. A session that ended leads to the sign-in page, from wherever it is noticed.
let csrf = "";
export let me = null;

export async function signIn() {
  me = await ask("/api/me");
  csrf = me.csrf;
  return me;
}

export function ended() {
  location.assign("/login?refused=ended");
}

export class Refused extends Error {
  constructor(status, about) {
    super(about.error ?? String(status));
    this.status = status;
    this.about = about;
  }
}

export async function ask(path, body) {
  const options = body === undefined ? {} : {
    method: "POST",
    headers: { "Content-Type": "application/json", "X-CSRF-Token": csrf },
    body: JSON.stringify(body),
  };
  let answer;
  try {
    answer = await fetch(path, options);
  } catch {
    throw new Refused(0, { error: "offline" });
  }
  if (answer.status === 401) {
    ended();
    throw new Refused(401, { error: "ended" });
  }
  if (!answer.ok) {
    let about = {};
    try { about = JSON.parse(await answer.text()); } catch { about = { error: `http-${answer.status}` }; }
    throw new Refused(answer.status, about);
  }
  return answer.json();
}
