// Files come by the button, by drag and drop, or by paste.

import { find } from "./dom.js";

/** Call `take` with the files a person gives. */
export function listen(take) {
  const input = find("files");
  const empty = () => {
    take([...input.files]);
    input.value = ""; // the same file may be chosen again
  };
  input.addEventListener("change", empty);
  if (input.files.length) empty(); // chosen before this script was here
  document.addEventListener("paste", (event) => {
    const files = [...(event.clipboardData?.files ?? [])];
    if (files.length) take(files);
  });
  listenToDrags(take);
}

function listenToDrags(take) {
  const veil = find("veil");
  let depth = 0; // a drag enters a child before it leaves the parent
  const cover = (change) => {
    depth = Math.max(0, depth + change);
    veil.hidden = depth === 0;
  };
  const holdsFiles = (event) => event.dataTransfer?.types.includes("Files");
  document.addEventListener("dragenter", (event) => holdsFiles(event) && cover(1));
  document.addEventListener("dragleave", (event) => holdsFiles(event) && cover(-1));
  document.addEventListener("dragover", (event) => holdsFiles(event) && event.preventDefault());
  document.addEventListener("drop", (event) => {
    if (!holdsFiles(event)) return;
    event.preventDefault();
    cover(-depth);
    take([...event.dataTransfer.files]);
  });
}
