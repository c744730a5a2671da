// The results as a file: JSON from what is here, PDF from the server, which is sent the images again.

import { pdf } from "./api.js";
import { find, make, tell } from "./dom.js";
import { say } from "./words.js";

/** Save what `predict --json` would say of these images. */
export function saveJson(items) {
  const answered = items.filter((item) => item.entries.length);
  const content = {
    schema: 1,
    command: "predict",
    model: answered[0].model,
    predictions: answered.flatMap((item) => item.entries).map(({ said: _, ...entry }) => entry),
  };
  save(new Blob([`${JSON.stringify(content, null, 2)}\n`], { type: "application/json" }), "medimg-results.json");
}

/** Save a PDF with a page for each image, in the language that is chosen: its strings may still be on their way. */
export async function savePdf(items) {
  const files = items.filter((item) => item.entries.length).map((item) => item.file);
  tell(say("list.pdf_working"));
  save(await pdf(files, find("language").value), "medimg-results.pdf");
}

function save(blob, name) {
  const address = URL.createObjectURL(blob);
  const link = make("a", { href: address, download: name });
  document.body.append(link);
  link.click();
  link.remove();
  setTimeout(() => URL.revokeObjectURL(address), 10_000);
  tell(say("list.saved", { name }));
}
