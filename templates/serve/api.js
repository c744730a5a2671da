// The server: every request sends the file itself, for it keeps none.

const TRIES = 6;
const LONGEST_WAIT_S = 20;

/** What the server said instead of an answer. */
export class Refusal extends Error {
  constructor(code, detail = "", status = 0) {
    super(code);
    this.code = code;
    this.detail = detail;
    this.status = status;
  }
}

export const predict = async (file, options) => (await post("/api/predict", { files: [file], said: "1" }, options)).json();

/** All files as one exam. */
export const predictExam = async (files, options) => (await post("/api/predict", { files, said: "1", exam: "1" }, options)).json();

/** Return { blob, headers } of the picture; `look` may hold frame, centre, width and max_px. */
export async function view(file, look, options) {
  const answer = await post("/api/view", { file: [file], ...look }, options);
  return { blob: await answer.blob(), headers: answer.headers };
}

export async function heatmap(file, label, look, options) {
  return (await post("/api/heatmap", { file: [file], label, ...look }, options)).blob();
}

/** The training images most like an image: [{ label, likeness, picture }]. */
export const similar = async (file, frame, options) => (await (await post("/api/similar", { file: [file], frame }, options)).json()).cases;

export async function pdf(files, lang, options) {
  return (await post("/api/result.pdf", { files, lang }, options)).blob();
}

/** Post a form; where the server is busy, ask again when it says. `options`: signal, waiting (called before a wait). */
async function post(path, fields, { signal, waiting = () => {} } = {}) {
  for (let attempt = 1; ; attempt += 1) {
    const answer = await send(path, fields, signal);
    if (answer.ok) return answer;
    const refusal = await refusalOf(answer);
    if (![429, 503].includes(answer.status) || attempt === TRIES) throw refusal;
    waiting();
    await pause(secondsToWait(answer, attempt), signal);
  }
}

async function send(path, fields, signal) {
  const form = new FormData();
  for (const [name, value] of Object.entries(fields)) {
    for (const one of Array.isArray(value) ? value : [value]) {
      if (one !== null && one !== undefined) form.append(name, one);
    }
  }
  try {
    return await fetch(path, { method: "POST", body: form, signal, credentials: "same-origin" });
  } catch (error) {
    if (error.name === "AbortError") throw error;
    throw new Refusal("offline");
  }
}

async function refusalOf(answer) {
  const said = await answer.json().catch(() => ({}));
  const known = { 401: "unauthorised", 403: "forbidden", 413: "too_large", 429: "rate_limited", 503: "busy" };
  const code = typeof said.error === "string" ? said.error : known[answer.status] ?? "internal";
  return new Refusal(code, typeof said.detail === "string" ? said.detail : "", answer.status);
}

function secondsToWait(answer, attempt) {
  const asked = Number.parseFloat(answer.headers.get("Retry-After"));
  const least = Number.isFinite(asked) ? asked : 2 ** attempt / 4;
  return Math.min(least, LONGEST_WAIT_S) * (1 + Math.random() / 4); // not all of them at the same moment
}

function pause(seconds, signal) {
  return new Promise((resolve, reject) => {
    const clock = setTimeout(resolve, seconds * 1000);
    signal?.addEventListener("abort", () => {
      clearTimeout(clock);
      reject(signal.reason);
    });
  });
}
