// The reading page: files come in, answers come out, one image is looked at.

import { Refusal, predict, predictExam, view } from "./api.js";
import { showAnswer, showExam } from "./answer.js";
import { find, tell } from "./dom.js";
import * as intake from "./intake.js";
import { focusItem, keepThumb, newItem, reveal, showItems, stateOf, tellingFrame } from "./items.js";
import { saveJson, savePdf } from "./saving.js";
import * as shortcuts from "./shortcuts.js";
import { Viewer } from "./viewer.js";
import { changeLanguage, failure, say, useWords } from "./words.js";

const AT_ONCE = 2;
const THUMB_PX = 160;
const ARROW_PX = 48;
const FINAL = new Set(["too_large", "empty", "archive", "too_many_pixels", "unreadable"]); // trying again changes nothing

const page = JSON.parse(find("page-data").textContent);
useWords(page.words);
const viewer = new Viewer(page, () => show());
let items = [];
let chosen = null;
let given = 0;
let busy = 0;
let exam = null; // what was said of all images together, and the item that shows it most

function show() {
  find("desk").dataset.state = items.length ? "filled" : "empty";
  showItems(items, chosen, page, { choose, remove });
  showAnswer(chosen, page, retry);
  showExam(exam?.entry, exam?.driver, choose);
  showProgress();
}

function showProgress() {
  const done = items.filter((item) => ["done", "failed"].includes(item.state)).length;
  const whole = find("whole");
  const under = done < items.length;
  find("progress").textContent = items.length ? say("list.progress", { done, total: items.length }) : "";
  whole.hidden = !under;
  whole.max = Math.max(1, items.length);
  whole.value = done;
  find("list-tools").hidden = items.length === 0;
  const answered = items.some((item) => item.entries.length);
  if (page.model.exams) find("as-exam").disabled = under || !answered;
  find("save-json").disabled = find("save-pdf").disabled = under || !answered;
}

function take(files) {
  const room = Math.max(0, page.max_files - items.length);
  const left = files.length - room;
  find("left-out").hidden = left <= 0;
  find("left-out").textContent = left > 0 ? say("intake.limit", { files: page.max_files, left }) : "";
  const added = files.slice(0, room).map((file) => newItem(file, (given += 1)));
  if (added.length === 0) return;
  items.push(...added);
  exam = null;
  tell(say("list.added", { n: added.length }));
  if (chosen) show();
  else choose(added[0]);
  work();
}

/** Keep as many requests under way as are good for a server that others use too. */
function work() {
  while (busy < AT_ONCE) {
    const next = items.find((item) => item.state === "waiting");
    if (!next) return;
    busy += 1;
    answer(next).finally(() => {
      busy -= 1;
      work();
    });
  }
}

async function answer(item) {
  item.state = "working";
  show();
  try {
    await check(item.file);
    const said = await predict(item.file, { waiting: () => wait(item) });
    Object.assign(item, { entries: said.predictions, model: said.model, state: "done" });
    item.frame = tellingFrame(item.entries, page);
  } catch (error) {
    if (!(error instanceof Refusal)) throw error;
    const { code, detail } = error;
    Object.assign(item, { state: "failed", failure: { code, detail, final: FINAL.has(code) } });
  }
  item.retrying = false;
  if (!items.includes(item)) return;
  show();
  tellDone(item);
  if (item === chosen) viewer.show(item);
  await drawThumb(item);
}

function wait(item) {
  item.retrying = true;
  show();
}

/** Refuse here what the server would refuse, before it travels. */
async function check(file) {
  if (file.size > page.max_upload_mb * 1e6) throw new Refusal("too_large");
  if (file.size === 0) throw new Refusal("empty");
  try {
    await file.slice(0, 1).arrayBuffer();
  } catch {
    throw new Refusal("unreadable"); // a folder, or a file that is gone
  }
}

function tellDone(item) {
  const done = items.filter((one) => ["done", "failed"].includes(one.state)).length;
  const progress = say("list.progress", { done, total: items.length });
  tell(`${say("list.image", { n: item.number })}: ${stateOf(item, page, true).text}. ${progress}.`);
}

async function drawThumb(item) {
  if (!item.entry || item.entry.status === "unreadable") return;
  const frame = item.entries.length > 1 ? item.frame : null;
  try {
    const { blob } = await view(item.file, { frame, max_px: THUMB_PX });
    const bitmap = await createImageBitmap(blob);
    keepThumb(item, bitmap);
    bitmap.close();
  } catch (error) {
    if (!(error instanceof Refusal)) throw error; // the list can do without; the viewer says what failed
  }
  show();
}

function choose(item) {
  const another = item !== chosen;
  chosen = item;
  show();
  reveal(item);
  if (another) viewer.show(item);
}

function step(by) {
  if (!items.length) return;
  const place = items.indexOf(chosen) + by;
  choose(items[Math.min(Math.max(place, 0), items.length - 1)]);
  focusItem(chosen);
}

function remove(item) {
  const place = items.indexOf(item);
  if (item === chosen) viewer.show(null);
  for (const picture of item.pictures.values()) picture.close();
  items = items.filter((one) => one !== item);
  exam = null;
  if (item === chosen) {
    chosen = null;
    if (items.length) choose(items[Math.min(place, items.length - 1)]);
  }
  show();
  if (chosen) focusItem(chosen);
  else find("files").focus();
}

function retry(item) {
  item.state = "waiting";
  item.failure = null;
  show();
  work();
}

function clear() {
  for (const item of [...items]) remove(item);
  find("left-out").hidden = true;
  tell(say("list.cleared"));
}

async function answerExam() {
  const button = find("as-exam");
  button.setAttribute("aria-busy", "true");
  const asked = items.filter((item) => item.state === "done");
  try {
    const said = await predictExam(asked.map((item) => item.file));
    const owners = asked.flatMap((item) => item.entries.map((_, frame) => ({ item, frame })));
    const { item: driver = null, frame = 0 } = owners[said.exam.driven_by_index] ?? {};
    if (!asked.every((item) => items.includes(item))) return;
    exam = { entry: said.exam, driver };
    if (driver) driver.frame = frame;
    if (driver) choose(driver);
    show();
  } catch (error) {
    if (!(error instanceof Refusal)) throw error;
    tell(failure(error.code, page));
  } finally {
    button.removeAttribute("aria-busy");
  }
}

async function saveAsPdf() {
  const button = find("save-pdf");
  button.disabled = true;
  button.setAttribute("aria-busy", "true");
  try {
    await savePdf(items);
  } catch (error) {
    if (!(error instanceof Refusal)) throw error;
    find("left-out").hidden = false;
    find("left-out").textContent = failure(error.code, page);
    tell(failure(error.code, page));
  } finally {
    button.removeAttribute("aria-busy");
    showProgress();
  }
}

async function speak(tag) {
  await changeLanguage(tag);
  const address = new URL(window.location.href);
  address.searchParams.set("lang", tag);
  window.history.replaceState(null, "", address);
  for (const link of document.querySelectorAll("[data-keeps-language], .brand")) {
    link.search = `?lang=${tag}`;
  }
  show();
  viewer.showTools();
}

find("clear").addEventListener("click", clear);
find("save-json").addEventListener("click", () => saveJson(items));
find("as-exam")?.addEventListener("click", answerExam);
find("save-pdf").addEventListener("click", saveAsPdf);
find("language").addEventListener("change", (event) => speak(event.target.value));
find("names").addEventListener("change", (event) => {
  page.showNames = event.target.checked;
  show();
});
shortcuts.listen(
  {
    j: () => step(1), k: () => step(-1), n: () => viewer.stepFrame(1), p: () => viewer.stepFrame(-1),
    "+": () => viewer.stage.zoomBy(1.4), "=": () => viewer.stage.zoomBy(1.4), "-": () => viewer.stage.zoomBy(1 / 1.4),
    0: () => viewer.reset(), i: () => viewer.invert(), h: () => viewer.toggleHeat(),
  },
  { arrows: (dx, dy) => viewer.stage.move(dx * ARROW_PX, dy * ARROW_PX), step, remove: () => chosen && remove(chosen) },
);
window.addEventListener("beforeunload", (event) => items.length && event.preventDefault());
show();
viewer.showTools();
intake.listen(take);
