// The picture pane: asks the server for pictures and heatmaps, and holds the tools around the stage.

import { Refusal, heatmap, view } from "./api.js";
import { find, make, tell } from "./dom.js";
import { Stage } from "./stage.js";
import { WindowTools, windowOf } from "./windows.js";
import { failure, number, percent, say } from "./words.js";

const SIDE_PX = 1536;
const KEPT = 12; // pictures of one item: frames and windows looked at of late

export class Viewer {
  /** @param page what the server sent along. @param changed called when another frame is shown. */
  constructor(page, changed) {
    this.page = page;
    this.changed = changed;
    this.item = null;
    this.asked = null;
    this.windows = new WindowTools((window) => this.look({ window }));
    this.stage = new Stage(find("canvas"), {
      moved: (zoom) => (find("scale").textContent = zoom && zoom > 1 ? `× ${number(zoom, 1)}` : ""),
      windowed: (dx, dy) => this.windows.drag(dx, dy),
    });
    this.listen();
  }

  listen() {
    const { stage } = this;
    find("zoom-in").addEventListener("click", () => stage.zoomBy(1.4));
    find("zoom-out").addEventListener("click", () => stage.zoomBy(1 / 1.4));
    find("fit").addEventListener("click", () => this.reset());
    find("invert").addEventListener("click", () => this.invert());
    find("heat").addEventListener("click", () => this.toggleHeat());
    find("covered").addEventListener("click", () => this.look({ text: !this.item.text }));
    find("window").addEventListener("click", () => this.toggleWindow());
    find("frame").addEventListener("input", (event) => this.showFrame(Number(event.target.value)));
    find("heat-class").addEventListener("change", (event) => {
      this.item.heatClass = event.target.value;
      this.load();
    });
    find("strength").addEventListener("input", (event) => this.setStrength(Number(event.target.value) / 100));
  }

  /** Show an item, or nothing. */
  show(item) {
    if (item !== this.item) this.stage.fit();
    this.item = item;
    this.stage.show(null);
    this.load();
  }

  /** Bring the tools and the picture in line with the item, asking the server for what is not here yet. */
  async load() {
    const { item } = this;
    this.asked?.abort();
    this.asked = new AbortController();
    const { signal } = this.asked;
    this.showTools();
    if (!this.readable()) return this.stage.show(null);
    const slow = setTimeout(() => this.note(say("viewer.loading")), 250);
    try {
      const picture = await this.picture(item, signal);
      const heat = item.heat ? await this.heat(item, signal) : null;
      if (signal.aborted) return undefined;
      this.note("");
      this.showTools();
      this.stage.show(picture, heat);
      if (heat) tell(say("viewer.heatmap_on", { class: item.heatClass }));
    } catch (error) {
      if (signal.aborted) return undefined;
      this.failed(error);
    } finally {
      clearTimeout(slow);
    }
    return undefined;
  }

  failed(error) {
    if (!(error instanceof Refusal)) throw error;
    const text = failure(error.code, this.page);
    tell(text);
    if (!this.item.heat) return this.note(text);
    this.item.heat = false; // the picture without it is worth showing
    this.item.heatRefused = text;
    return this.load();
  }

  readable() {
    const { item } = this;
    const unread = item?.entry?.status === "unreadable" && item.entry.error !== "internal";
    const bad = item?.state === "failed" || unread;
    this.note(bad ? say("viewer.none") : item?.entry ? "" : item ? say("viewer.loading") : "");
    return Boolean(item?.entry) && !bad;
  }

  async picture(item, signal) {
    const look = this.lookOf(item);
    const key = JSON.stringify(look);
    if (!item.pictures.has(key)) {
      const { blob, headers } = await view(item.file, { ...look, max_px: SIDE_PX }, { signal });
      item.facts ??= factsOf(headers);
      keep(item.pictures, key, await createImageBitmap(blob));
    }
    return recall(item.pictures, key);
  }

  async heat(item, signal) {
    const key = `heat ${item.heatClass} ${item.frame}`;
    if (!item.pictures.has(key)) {
      this.note(say("viewer.heatmap_working"));
      const frame = item.entries.length > 1 ? item.frame : null;
      keep(item.pictures, key, await createImageBitmap(await heatmap(item.file, item.heatClass, { frame }, { signal })));
    }
    return recall(item.pictures, key);
  }

  lookOf(item) {
    const frames = Math.max(item.facts?.frames ?? 1, item.entries.length);
    return { ...(frames > 1 ? { frame: item.frame } : {}), ...(item.window ?? {}), ...(item.text ? { text: "show" } : {}) };
  }

  /** Change how the item is looked at, and load what that needs. */
  look(change) {
    Object.assign(this.item, change);
    this.load();
  }

  showFrame(frame) {
    this.item.frame = frame;
    this.changed();
    this.load();
  }

  stepFrame(step) {
    const frames = this.frames();
    if (frames > 1) this.showFrame(Math.min(Math.max(this.item.frame + step, 0), frames - 1));
  }

  frames() {
    return this.item ? Math.max(this.item.facts?.frames ?? 1, this.item.entries.length) : 1;
  }

  reset() {
    this.stage.fit();
    if (!this.item) return;
    this.item.inverted = false;
    this.look({ window: null });
  }

  invert() {
    if (!this.item) return;
    this.item.inverted = !this.item.inverted;
    this.showTools();
    this.stage.draw();
  }

  toggleHeat() {
    const { item } = this;
    if (find("heat").disabled || !item?.entry) return;
    item.heat = !item.heat;
    item.heatRefused = null;
    item.heatClass ??= this.classToExplain(item.entry);
    if (!item.heat) tell(say("viewer.heatmap_off"));
    this.load();
  }

  /** What speaks for the disease is asked first, also where the model calls the image negative. */
  classToExplain(entry) {
    const [first] = (entry.label ?? "").split("|");
    return this.page.positives[0] || first || this.page.model.classes[0];
  }

  toggleWindow() {
    this.stage.setsWindow = !this.stage.setsWindow;
    this.showTools();
  }

  setStrength(strength) {
    this.stage.strength = strength;
    find("strength-said").textContent = percent(strength).replace(/[.,]0/, "");
    this.stage.draw();
  }

  /** Bring every tool in line with the item. */
  showTools() {
    const { item, stage } = this;
    const answered = item?.entry?.status === "ok";
    for (const id of ["zoom-in", "zoom-out", "fit", "invert"]) find(id).disabled = !item?.entry;
    find("heat").disabled = !answered;
    const heat = Boolean(answered && item.heat);
    press("heat", heat);
    find("heat-tools").hidden = !heat;
    if (heat) this.showHeatTools();
    find("heat-refused").textContent = item?.heatRefused ?? "";
    find("heat-refused").hidden = !item?.heatRefused;
    stage.inverted = Boolean(item?.inverted);
    press("invert", stage.inverted);
    stage.hasWindow = Boolean(item?.facts?.window);
    const sets = stage.hasWindow && stage.setsWindow;
    find("window").hidden = !stage.hasWindow;
    press("window", sets);
    find("window-tools").hidden = !sets;
    if (stage.hasWindow) this.windows.show(item);
    find("canvas").dataset.drag = sets ? "window" : "move";
    find("canvas").setAttribute("aria-label", this.label(heat));
    this.showFrameTools();
    this.showCoveredTools();
  }

  /** Writing in a picture can name a patient: the server covers what may be some, and says how much. */
  showCoveredTools() {
    const covered = this.item?.facts?.covered ?? 0;
    find("covered-tools").hidden = covered === 0;
    find("covered-said").textContent = say("viewer.covered", { n: covered });
    find("covered").textContent = say(this.item?.text ? "viewer.hide_text" : "viewer.show_text");
  }

  showHeatTools() {
    const { heatClass } = this.item;
    const options = this.page.model.classes.map((name) => make("option", { value: name, selected: name === heatClass }, name));
    find("heat-class").replaceChildren(...options);
    const below = this.item.entry.decision === "negative" && this.page.positives.includes(heatClass);
    const notes = [below ? say("viewer.heatmap_below") : "", say("viewer.heatmap_note", { class: heatClass })];
    find("heat-note").textContent = notes.filter(Boolean).join(" ");
    this.setStrength(this.stage.strength);
  }

  showFrameTools() {
    const frames = this.frames();
    find("frame-tools").hidden = frames < 2;
    find("frame").max = String(frames - 1);
    find("frame").value = String(this.item?.frame ?? 0);
    find("frame-said").textContent = say("viewer.frame_of", { n: (this.item?.frame ?? 0) + 1, total: frames });
  }

  label(heat) {
    if (!this.item) return say("viewer.heading");
    const values = { n: this.item.number, class: this.item.heatClass };
    return say(heat ? "viewer.label_heat" : "viewer.label", values);
  }

  note(text) {
    find("stage-note").textContent = text;
    find("stage-note").hidden = !text;
  }
}

/** What the server says of a picture in its headers. */
function factsOf(headers) {
  return {
    frames: Number.parseInt(headers.get("X-Frames") ?? "1", 10) || 1,
    window: windowOf(headers),
    isCt: headers.get("X-Modality") === "CT",
    covered: Number.parseInt(headers.get("X-Covered") ?? "0", 10) || 0,
  };
}

function keep(pictures, key, bitmap) {
  pictures.set(key, bitmap);
  if (pictures.size <= KEPT) return;
  const [oldest] = pictures.keys();
  pictures.get(oldest).close();
  pictures.delete(oldest);
}

/** Return a kept picture and make it the last to go. */
function recall(pictures, key) {
  const bitmap = pictures.get(key);
  pictures.delete(key);
  pictures.set(key, bitmap);
  return bitmap;
}

const press = (id, on) => find(id).setAttribute("aria-pressed", String(on));
