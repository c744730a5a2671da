// The list of images. An item is a file with what became of it; the browser alone holds it.

import { find, icon, make } from "./dom.js";
import { bytes, failure, said, say } from "./words.js";

/** Return a new item: state is waiting, working, done or failed; entries are those of `predictions`, one a frame. */
export const newItem = (file, number) => ({
  file, number, state: "waiting", entries: [], model: null, failure: null, retrying: false,
  frame: 0, window: null, inverted: false, text: false, heat: false, heatClass: null, pictures: new Map(), facts: null, thumb: null,
  get entry() {
    return this.entries[Math.min(this.frame, this.entries.length - 1)] ?? null;
  },
});

/** Return the place of the frame a reader should see first: the most probable of the positive class. */
export function tellingFrame(entries, page) {
  const sum = (entry) => page.positives.reduce((total, name) => total + (entry.probabilities[name] ?? 0), 0);
  const share = (entry) => (page.positives.length ? sum(entry) : entry.confidence ?? -1);
  return entries.reduce((best, entry, place) => (share(entry) > share(entries[best]) ? place : best), 0);
}

/** Draw the whole list; `act` has choose, remove. */
export function showItems(items, chosen, page, act) {
  const focused = document.activeElement?.closest?.(".item")?.dataset.number;
  const part = document.activeElement?.className;
  const list = find("items");
  const [left, top] = [list.scrollLeft, list.scrollTop];
  list.replaceChildren(...items.map((item) => row(item, item === chosen, page, act)));
  list.scrollTo({ left, top, behavior: "instant" }); // an emptied list has forgotten it
  if (focused) refocus(focused, part);
}

/** Scroll the list, and nothing else, until an item is in sight. */
export function reveal(item) {
  const list = find("items");
  const [box, seen] = [list.querySelector(`[data-number="${item.number}"]`).getBoundingClientRect(), list.getBoundingClientRect()];
  list.scrollBy(outside(box.left, box.right, seen.left, seen.right), outside(box.top, box.bottom, seen.top, seen.bottom));
}

const outside = (start, end, from, to) => (start < from ? start - from : Math.max(0, Math.min(end - to, start - from)));

function refocus(number, part) {
  const again = find("items").querySelector(`[data-number="${number}"] .${part === "remove" ? "remove" : "open"}`);
  again?.focus({ preventScroll: true });
}

/** Put the focus on an item's button. */
export function focusItem(item) {
  const button = find("items").querySelector(`[data-number="${item.number}"] .open`);
  button?.focus();
}

function row(item, isChosen, page, act) {
  const state = stateOf(item, page);
  const tab = isChosen ? null : -1;
  const open = make(
    "button",
    { type: "button", class: "open", tabindex: tab, "aria-current": isChosen ? "true" : null, onclick: () => act.choose(item) },
    thumbOf(item),
    make(
      "span",
      { class: "lines" },
      make("span", { class: "name" }, say("list.image", { n: item.number }), make("small", {}, nameOf(item, page))),
      make("span", { class: "state", "data-tone": state.tone }, state.text),
      item.state === "working" ? make("span", { class: "busy", "aria-hidden": "true" }) : null,
    ),
  );
  const gone = { type: "button", class: "remove", tabindex: tab, "aria-label": say("list.remove", { n: item.number }), onclick: () => act.remove(item) };
  return make("li", { class: "item", "data-number": item.number, "data-state": item.state, "data-chosen": String(isChosen) }, open, make("button", gone, icon("close")));
}

/** The name of the file may name a patient: what is shown is what the server masked, or the user's own on request. */
function nameOf(item, page) {
  if (page.showNames) return item.file.name;
  return item.entry?.path ? shortened(item.entry.path.replace(/#(frame|page)\/\d+$/, "")) : bytes(item.file.size);
}

const shortened = (name) => (name.length > 28 ? `${name.slice(0, 14)}…${name.slice(-12)}` : name);

/** Return { tone, text }: what is known of an item in one line; `full` for those who do not see the rest. */
export function stateOf(item, page, full = false) {
  if (item.state === "failed") return { tone: "refer", text: failure(item.failure.code, page) };
  if (item.retrying) return { tone: "wait", text: say("list.again") };
  if (!item.entry) return { tone: "wait", text: say(`list.${item.state}`) };
  const { tone, headline, short } = said(item.entry);
  return { tone, text: full ? headline : short };
}

function thumbOf(item) {
  if (item.thumb) return item.thumb;
  const bad = item.state === "failed" || item.entry?.status === "unreadable";
  return make("span", { class: "thumb", "aria-hidden": "true" }, bad ? icon("refer") : null);
}

/** Keep a small square of a picture for the list. */
export function keepThumb(item, bitmap) {
  const side = 112;
  const canvas = make("canvas", { class: "thumb", width: side, height: side, "aria-hidden": "true" });
  const scale = side / Math.max(bitmap.width, bitmap.height);
  const [width, height] = [bitmap.width * scale, bitmap.height * scale];
  const pen = canvas.getContext("2d");
  pen.imageSmoothingQuality = "high";
  pen.drawImage(bitmap, (side - width) / 2, (side - height) / 2, width, height);
  item.thumb = canvas;
}
