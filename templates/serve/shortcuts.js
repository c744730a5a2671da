// Single keys. They can be switched off (WCAG 2.2, 2.1.4) and never act while something is typed or chosen.

import { find } from "./dom.js";

const KEPT = "medimg-keys";

/** Call `actions[key]` on a key. `arrows(dx, dy)` moves the picture, `remove` removes the image the focus is on. */
export function listen(actions, { arrows, step, remove }) {
  const box = find("use-keys");
  box.checked = kept();
  box.addEventListener("change", () => keep(box.checked));
  const dialog = find("keys");
  find("show-keys").addEventListener("click", () => dialog.showModal());
  document.addEventListener("keydown", (event) => {
    if (event.ctrlKey || event.metaKey || event.altKey || dialog.open) return;
    if (inList(event) || onCanvas(event)) return;
    if (!box.checked || event.target.closest("input:not([type='range'], [type='checkbox'], [type='file']), select, textarea")) return;
    const act = event.key === "?" ? () => dialog.showModal() : actions[event.key];
    if (!act) return;
    event.preventDefault();
    act();
  });

  function inList(event) {
    if (!event.target.closest(".item")) return false;
    const steps = { ArrowDown: 1, ArrowRight: 1, ArrowUp: -1, ArrowLeft: -1 };
    if (event.key in steps) step(steps[event.key]);
    else if (event.key === "Delete") remove();
    else return false;
    event.preventDefault();
    return true;
  }

  function onCanvas(event) {
    if (event.target.id !== "canvas") return false;
    const moves = { ArrowLeft: [1, 0], ArrowRight: [-1, 0], ArrowUp: [0, 1], ArrowDown: [0, -1] };
    if (!(event.key in moves)) return false;
    arrows(...moves[event.key]);
    event.preventDefault();
    return true;
  }
}

function kept() {
  try {
    return localStorage.getItem(KEPT) !== "off";
  } catch {
    return true;
  }
}

function keep(on) {
  try {
    localStorage.setItem(KEPT, on ? "on" : "off");
  } catch {
    // then it holds until the page is left
  }
}
