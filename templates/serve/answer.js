// The answer of the chosen image.

import { similar } from "./api.js";
import { find, icon, make } from "./dom.js";
import { failure, said, say } from "./words.js";

const SHOWN_CLASSES = 8;

/** Draw the answer of an item, or say that there is none yet. */
export function showAnswer(item, page, retry) {
  const body = find("answer-body");
  find("answer-of").textContent = item ? say("list.image", { n: item.number }) : "";
  body.replaceChildren(...sectionsOf(item, page, retry).filter(Boolean));
}

function sectionsOf(item, page, retry) {
  if (!item) return [note(say("result.nothing"))];
  if (item.state === "failed") return [failed(item, page, retry)];
  if (!item.entry) return [note(say(item.state === "waiting" ? "list.waiting" : "list.working"))];
  const { entry } = item;
  const words = said(entry);
  return [verdict(words, entry), flagsOf(words, entry, page.model), chart(words), setOf(words), meaning(words), similarTo(item, page)];
}

/** Draw the answer to all images as one exam, and a way to the image that shows it most; null takes it away. */
export function showExam(exam, driver, choose) {
  const body = find("exam-body");
  body.hidden = !exam;
  if (!exam) return body.replaceChildren();
  const words = said(exam);
  const way = driver && make("button", { type: "button", class: "button", onclick: () => choose(driver) }, say("exam.driver", { n: driver.number }));
  return body.replaceChildren(...[make("h3", {}, say("exam.heading", { n: exam.images })), verdict(words, exam), way, chart(words)].filter(Boolean));
}

const note = (text) => make("p", { class: "note" }, text);

function verdict(words, entry) {
  return make(
    "section",
    { class: "verdict", "data-tone": words.tone },
    words.kicker ? make("p", { class: "kicker" }, words.kicker) : null,
    make("p", { class: "headline", role: "heading", "aria-level": 3 }, icon(words.tone), make("span", {}, words.headline)),
    ...words.sentences.map((sentence) => make("p", { class: "predicted" }, sentence)),
    entry.status === "unreadable" ? detail(entry.message) : null,
  );
}

function failed(item, page, retry) {
  return make(
    "section",
    { class: "verdict", "data-tone": "refer" },
    make("p", { class: "headline", role: "heading", "aria-level": 3 }, icon("refer"), make("span", {}, say("result.failed"))),
    make("p", { class: "predicted" }, failure(item.failure.code, page)),
    detail(item.failure.detail),
    item.failure.final
      ? null
      : make("div", { class: "buttons" }, make("button", { type: "button", onclick: () => retry(item) }, icon("again"), say("list.retry"))),
  );
}

/** What the program says is English, whatever the page speaks. */
function detail(message) {
  if (!message) return null;
  return make("details", {}, make("summary", {}, say("result.detail")), make("p", { class: "note", lang: "en" }, message));
}

function flagsOf(words, entry, model) {
  if (entry.status !== "ok" && words.flags.length === 0) return null;
  const found = words.flags.map(([title, text]) =>
    make("li", {}, icon("refer"), make("strong", {}, title), make("span", {}, text)),
  );
  return make(
    "section",
    {},
    make("h3", {}, say("result.flags")),
    found.length ? make("ul", { class: "flags" }, ...found) : note(say(model.limits ? "result.no_flags" : "card.unusual_none")),
  );
}

function chart({ bars }) {
  if (bars.length === 0) return null;
  const drawn = bars.map(drawBar);
  const rest = drawn.splice(SHOWN_CLASSES);
  const more = rest.length
    ? make(
        "details",
        {},
        make("summary", {}, say("result.more_classes", { n: bars.length })),
        make("ul", { class: "bars" }, ...rest),
      )
    : null;
  return make(
    "section",
    {},
    make("h3", {}, say("result.bars")),
    make("ul", { class: "bars" }, ...drawn),
    more,
    note(say("result.calibrated")),
  );
}

function drawBar({ name, share, said: percent, threshold, limit }, place) {
  const fill = make("div", { class: "fill" });
  fill.style.width = `${share * 100}%`;
  const track = make("div", { class: "track", "aria-hidden": "true" }, fill);
  if (threshold !== null) {
    const mark = make("div", { class: "mark" });
    mark.style.left = `${threshold * 100}%`;
    track.append(mark);
  }
  return make(
    "li",
    { class: place === 0 ? "first" : null },
    make("span", { class: "class" }, name),
    make("span", { class: "share" }, percent),
    track,
    limit ? make("span", { class: "threshold" }, limit) : null,
  );
}

function setOf({ set: [classes, level] }) {
  if (!classes) return null;
  return make("section", {}, make("h3", {}, say("result.set")), make("p", {}, classes), level ? note(level) : null);
}

/** Training images most like this one, asked for when the reader opens them; only where the model carries any. */
function similarTo(item, page) {
  if (!page.model.similar_cases || item.entry.status !== "ok") return null;
  const place = make("div", { class: "similar" });
  const { frame } = item;
  const open = Boolean(item.similarOpen); // the answer is drawn anew whenever anything on the page changes
  const section = make("details", { open }, make("summary", {}, say("similar.show")), place, note(say("similar.note")));
  section.addEventListener("toggle", () => {
    item.similarOpen = section.open;
    if (section.open && !place.childElementCount) fill(place, item, frame, page);
  });
  return make("section", {}, section);
}

async function fill(place, item, frame, page) {
  place.replaceChildren(note(say("similar.working")));
  try {
    item.similar ??= new Map();
    if (!item.similar.has(frame)) item.similar.set(frame, similar(item.file, item.entries.length > 1 ? frame : null));
    place.replaceChildren(...(await Promise.all((await item.similar.get(frame)).map(drawCase))));
  } catch (error) {
    item.similar.delete(frame);
    place.replaceChildren(note(failure(error.code ?? "internal", page)));
  }
}

async function drawCase({ label, picture }) {
  const bytes = Uint8Array.from(atob(picture), (letter) => letter.charCodeAt(0));
  const bitmap = await createImageBitmap(new Blob([bytes], { type: "image/png" }));
  const canvas = make("canvas", { role: "img", "aria-label": say("similar.picture", { class: label }), width: bitmap.width, height: bitmap.height });
  canvas.getContext("2d").drawImage(bitmap, 0, 0);
  return make("figure", {}, canvas, make("figcaption", {}, label));
}

function meaning({ meaning: [first, ...others] }) {
  if (!first) return null;
  return make(
    "section",
    {},
    make("h3", {}, say("result.meaning")),
    make("p", { class: "found" }, first),
    ...others.map((sentence) => note(sentence)),
  );
}
