// The page works without this file: forms are posted and the page is loaded again. With it, decisions are sent
// while the reviewer stays where they are, and the keyboard does everything.
"use strict";

const cards = [...document.querySelectorAll(".card")];
const status = document.getElementById("status");
const large = document.getElementById("large");

function say(text, refused = false) {
  status.textContent = text;
  status.classList.toggle("refused", refused);
}

async function send(form, submitter) {
  const body = new URLSearchParams(new FormData(form, submitter));
  try {
    const answer = await fetch(form.action, { method: "POST", body, headers: { Accept: "application/json" } });
    const content = await answer.json().catch(() => ({ detail: `refused (${answer.status})` }));
    if (answer.ok) return content;
    say(content.detail, true);
  } catch {
    say("medimg does not answer: was it ended in the terminal?", true);
  }
  return null;
}

function showPending(count) {
  document.getElementById("pending").textContent = `${count} not yet in the manifest`;
}

function showDecision(content) {
  for (const { number, action, decision } of content.cards) {
    const card = document.getElementById(`image-${number}`);
    if (!card) continue;
    card.dataset.action = action;
    card.querySelector(".decision").textContent = decision;
  }
  const progress = document.getElementById("progress");
  if (progress) progress.textContent = `${content.decided} of ${progress.dataset.total} decided`;
  showPending(content.pending);
  const [first] = content.cards;
  say(`${first.decision || "undecided"}. ${progress ? progress.textContent : ""}`);
}

document.addEventListener("submit", async (event) => {
  const form = event.target;
  const path = new URL(form.action).pathname;
  if (form.method !== "post" || !["/decide", "/apply"].includes(path)) return;
  event.preventDefault();
  const content = await send(form, event.submitter);
  if (!content) return;
  if (path === "/decide") {
    showDecision(content);
    return;
  }
  showPending(content.pending);
  const left = content.left ? `, ${content.left} left alone, as somebody else changed them` : "";
  say(`Manifest: ${content.marked} rows marked, ${content.restored} given back${left}.`);
});

function enlarge(card) {
  const picture = large.querySelector("img");
  picture.src = card.querySelector(".picture").href;
  picture.alt = card.querySelector("img").alt;
  large.showModal();
}

document.addEventListener("click", (event) => {
  const link = event.target.closest(".picture");
  if (!link || event.ctrlKey || event.metaKey || event.shiftKey) return;
  event.preventDefault();
  enlarge(link.closest(".card"));
});

function move(from, step) {
  const next = cards[from === -1 ? 0 : Math.min(Math.max(from + step, 0), cards.length - 1)];
  if (next) next.focus();
}

function press(form, action) {
  const button = form && form.querySelector(`button[value="${action}"]`);
  if (button) form.requestSubmit(button);
}

// Single letters act on the image that has the focus only (WCAG 2.1, 2.1.4), j and k bring it there.
document.addEventListener("keydown", (event) => {
  if (event.ctrlKey || event.metaKey || event.altKey || large.open) return;
  if (event.target.closest("input, select, textarea")) {
    if (event.key === "Escape") event.target.closest(".card")?.focus();
    if (event.key === "Enter" && event.target.matches("select")) {
      event.preventDefault();
      press(event.target.form, "relabel");
      event.target.closest(".card")?.focus();
    }
    return;
  }
  const card = document.activeElement.closest(".card");
  const place = cards.indexOf(card);
  if (event.key === "j") move(place, 1);
  else if (event.key === "k") move(place, -1);
  else if (!card) return;
  else if (event.key === "y") press(card.querySelector("form"), "keep");
  else if (event.key === "e") press(card.querySelector("form"), "exclude");
  else if (event.key === "u") press(card.querySelector("form"), "undo");
  else if (event.key === "r") card.querySelector("select")?.focus();
  else if (event.key === "b") enlarge(card);
  else if (event.key === "g") press(card.closest(".group")?.querySelector(".whole"), "keep");
  else return;
  event.preventDefault();
});
