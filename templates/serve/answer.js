// The answer of the chosen image.

import { find, icon, make } from "./dom.js";
import { bars, failure, flag, headline, reasons, setInWords, thresholdInWords } from "./sentences.js";
import { number, percent, probability, say } from "./words.js";

const SHOWN_CLASSES = 8;

/** Draw the answer of an item, or say that there is none yet. */
export function showAnswer(item, page, retry) {
  const body = find("answer-body");
  find("answer-of").textContent = item ? say("list.image", { n: item.number }) : "";
  body.replaceChildren(...sectionsOf(item, page, retry));
}

function sectionsOf(item, page, retry) {
  if (!item) return [note(say("result.nothing"))];
  if (item.state === "failed") return [failed(item, page, retry)];
  if (!item.entry) return [note(say(item.state === "waiting" ? "list.waiting" : "list.working"))];
  const { entry } = item;
  const { model } = page;
  const answered = entry.status === "ok";
  return [
    verdict(entry, page),
    flagsOf(entry, model),
    answered ? chart(entry, model) : null,
    answered && entry.prediction_set ? setOf(entry, model) : null,
    answered ? meaning(entry, model) : null,
  ].filter(Boolean);
}

const note = (text) => make("p", { class: "note" }, text);

function verdict(entry, page) {
  const { tone, kicker, headline: text } = headline(entry, page.model);
  return make(
    "section",
    { class: "verdict", "data-tone": tone },
    kicker ? make("p", { class: "kicker" }, kicker) : null,
    make("p", { class: "headline", role: "heading", "aria-level": 3 }, icon(tone), make("span", {}, text)),
    ...reasons(entry, page).map((sentence) => make("p", { class: "predicted" }, sentence)),
    detail(entry.message),
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

function flagsOf(entry, model) {
  if (entry.status === "unreadable") return null;
  const found = (entry.flags ?? []).map((name) => {
    const [title, text] = flag(name);
    return make("li", {}, icon("refer"), make("strong", {}, title), make("span", {}, text));
  });
  return make(
    "section",
    {},
    make("h3", {}, say("result.flags")),
    found.length ? make("ul", { class: "flags" }, ...found) : note(say(model.limits ? "result.no_flags" : "card.unusual_none")),
  );
}

function chart(entry, model) {
  const all = bars(entry, model);
  const drawn = all.map((bar) => drawBar(bar, bar.name === model.positive || (!model.positive && bar === all[0])));
  const rest = drawn.splice(SHOWN_CLASSES);
  const more = rest.length
    ? make(
        "details",
        {},
        make("summary", {}, say("result.more_classes", { n: all.length })),
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

function drawBar({ name, share, threshold }, first) {
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
    { class: first ? "first" : null },
    make("span", { class: "class" }, name),
    make("span", { class: "share" }, probability(share)),
    track,
    threshold === null ? null : make("span", { class: "threshold" }, say("result.bar_threshold", { t: percent(threshold) })),
  );
}

function setOf(entry, model) {
  const alpha = model.limits?.alpha;
  const level = typeof alpha === "number" ? note(say("result.set_level", { p: say("number.percent", { n: number((1 - alpha) * 100) }) })) : null;
  return make("section", {}, make("h3", {}, say("result.set")), make("p", {}, setInWords(entry.prediction_set)), level);
}

function meaning(entry, model) {
  if (!model.threshold || !model.positive || !entry.decision) return null;
  const [first, ...others] = thresholdInWords(model.threshold, model.positive);
  return make(
    "section",
    {},
    make("h3", {}, say("result.meaning")),
    make("p", { class: "found" }, first),
    ...others.map((sentence) => note(sentence)),
  );
}
