// Window centre and width of grey pictures with more than 8 bits: sliders, presets and drags.

import { find, make } from "./dom.js";
import { number, say } from "./words.js";

const QUIET_MS = 60;
/** Centre and width in Hounsfield units, as they are in common use for CT. */
const PRESETS = { lung: [-600, 1500], soft: [40, 400], bone: [400, 1800], brain: [40, 80] };

/** Return the window a picture came with, null where it has none. */
export function windowOf(headers) {
  const centre = Number.parseFloat(headers.get("X-Window-Centre"));
  const width = Number.parseFloat(headers.get("X-Window-Width"));
  return Number.isFinite(centre) && Number.isFinite(width) && width > 0 ? { centre, width } : null;
}

export class WindowTools {
  /** @param changed called with { centre, width }, or null for the window of the file. */
  constructor(changed) {
    this.changed = changed;
    this.item = null;
    this.clock = 0;
    for (const id of ["centre", "width"]) {
      find(id).addEventListener("input", () => this.set({ ...this.current(), [id]: Number(find(id).value) }));
    }
    find("preset").addEventListener("change", (event) => this.preset(event.target.value));
  }

  current() {
    return this.item.window ?? this.item.facts.window;
  }

  /** Bring sliders and presets in line with an item that has a window. */
  show(item) {
    this.item = item;
    const { window: own, isCt } = item.facts;
    const now = this.current();
    const step = own.width > 100 ? 1 : own.width / 200;
    const [low, high] = isCt ? [-1024, 3071] : [own.centre - 1.5 * own.width, own.centre + 1.5 * own.width];
    range("centre", Math.min(low, now.centre), Math.max(high, now.centre), step, now.centre);
    range("width", step, Math.max(isCt ? 4096 : 3 * own.width, now.width), step, now.width);
    this.showPresets(isCt, now);
  }

  showPresets(isCt, now) {
    const names = isCt ? Object.keys(PRESETS) : [];
    const options = names.map((name) => make("option", { value: name }, say(`viewer.preset_${name}`)));
    find("preset").replaceChildren(make("option", { value: "file" }, say("viewer.preset_file")), ...options);
    const fits = names.find((name) => PRESETS[name][0] === now.centre && PRESETS[name][1] === now.width);
    if (this.item.window && !fits) find("preset").append(make("option", { value: "own" }, "–"));
    find("preset").value = fits ?? (this.item.window ? "own" : "file");
  }

  preset(name) {
    if (name === "file") this.changed(null);
    else if (PRESETS[name]) this.changed({ centre: PRESETS[name][0], width: PRESETS[name][1] });
  }

  /** A drag by the whole canvas is one width of the file's window: across the width, down the centre. */
  drag(dx, dy) {
    const { centre, width } = this.current();
    const unit = this.item.facts.window.width;
    this.set({ centre: centre + dy * unit, width: Math.max(width + dx * unit, unit / 200) });
  }

  /** Show the numbers at once, and the picture when they rest for a moment. */
  set(window) {
    const { item } = this;
    item.window = window;
    this.show(item);
    clearTimeout(this.clock);
    this.clock = setTimeout(() => item === this.item && this.changed(window), QUIET_MS);
  }
}

function range(id, least, most, step, value) {
  const slider = find(id);
  slider.min = String(least);
  slider.max = String(most);
  slider.step = step === 1 ? "1" : "any";
  slider.value = String(value);
  find(`${id}-said`).textContent = number(value, step === 1 ? 0 : 3);
}
