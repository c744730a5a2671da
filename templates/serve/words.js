// The strings of the page in the language it is shown in; the server sends the first ones along.

let texts = {};
let locale = "en-GB";

/** Use these strings from now on. */
export function useWords(catalogue) {
  texts = catalogue;
  locale = catalogue["language.locale"];
}

/** Fetch the strings of another language, and use them. */
export async function changeLanguage(tag) {
  const answer = await fetch(`/static/words-${tag}.json`);
  if (!answer.ok) throw new Error(`no words for ${tag}`);
  useWords(await answer.json());
  document.documentElement.lang = tag;
  translate(document);
}

export const has = (key) => Object.hasOwn(texts, key);

/** Return the text of a key, its places filled. */
export function say(key, values = {}) {
  return (texts[key] ?? key).replace(/\{(\w+)\}/g, (place, name) => String(values[name] ?? place));
}

/** Write every marked text and attribute below `root` anew. */
export function translate(root) {
  for (const node of root.querySelectorAll("[data-word]")) {
    node.textContent = say(node.dataset.word, JSON.parse(node.dataset.values ?? "{}"));
  }
  for (const node of root.querySelectorAll("[data-word-label]")) {
    node.setAttribute("aria-label", say(node.dataset.wordLabel));
  }
  for (const node of root.querySelectorAll("[data-word-title]")) {
    if (node.matches("title")) node.textContent = `${say(node.dataset.wordTitle)} · medimg`;
    else node.title = say(node.dataset.wordTitle);
  }
}

export function number(value, digits = 0) {
  const fixed = { minimumFractionDigits: digits, maximumFractionDigits: digits };
  return new Intl.NumberFormat(locale, { ...fixed, useGrouping: false }).format(value);
}

export const percent = (share) => say("number.percent", { n: number(share * 100, 1) });

/** Return an answer in the words of the page's language; the server sends them in every language. */
export const said = (entry) => entry.said[document.documentElement.lang];

/** Return why the server did not answer, from the code of its refusal. */
export function failure(code, page) {
  const key = `error.${code}`;
  return has(key) ? say(key, { mb: page.max_upload_mb }) : say("error.unknown", { code });
}

export function bytes(count) {
  if (count < 1e6) return say("number.bytes_kb", { n: number(Math.max(1, Math.round(count / 1e3))) });
  return say("number.bytes_mb", { n: number(count / 1e6, 1) });
}
