// The sign-in page's few words in the browser's language; it works without this script too.
const words = {
  ko: {
    title: "로그인 · borderflow", lead: "국경 통제 센터", user: "사용자 이름", password: "비밀번호", signIn: "로그인",
    watched: "모든 로그인과 개인정보 열람은 기록됩니다.", 1: "사용자 이름 또는 비밀번호가 맞지 않습니다.",
    often: "시도 횟수가 너무 많습니다. 1분 후에 다시 시도하세요.", used: "이 링크는 이미 사용되었거나 만료되었습니다.", ended: "세션이 종료되었습니다. 다시 로그인하세요.",
  },
  en: {
    1: "User name and password do not match.", often: "Too many attempts. Wait a minute, then try again.",
    used: "This address was used already, or is too old.", ended: "Your session ended. Sign in again.",
  },
};
// The alert that an address named, or that was open when the session ended: the page goes there after the sign-in.
try { if (location.hash) sessionStorage.setItem("return-to", location.hash); } catch { /* private window */ }
let chosen = null;
try { chosen = localStorage.getItem("language"); } catch { /* private window */ }
const language = chosen ?? (navigator.language.startsWith("ko") ? "ko" : "en");
const said = words[language] ?? words.en;
document.documentElement.lang = language;
if (said.title) document.title = said.title;
for (const place of document.querySelectorAll("[data-t]")) if (said[place.dataset.t]) place.textContent = said[place.dataset.t];
const why = new URLSearchParams(location.search).get("refused");
if (why && said[why]) {
  const place = document.getElementById("refused");
  place.textContent = said[why];
  place.hidden = false;
}
