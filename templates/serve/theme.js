// Appearance: what was chosen on this machine, else what the system says. Loaded before anything is drawn.
"use strict";

(() => {
  const root = document.documentElement;
  const system = window.matchMedia("(prefers-color-scheme: dark)");
  const kept = () => {
    try {
      return localStorage.getItem("medimg-theme") || "auto";
    } catch {
      return "auto"; // storage can be forbidden; the page works without it
    }
  };
  let chosen = kept();

  function apply() {
    const dark = chosen === "dark" || (chosen === "auto" && system.matches);
    root.dataset.theme = dark ? "dark" : "light";
  }

  apply();
  root.classList.add("script");
  system.addEventListener("change", apply);
  document.addEventListener("DOMContentLoaded", () => {
    const menu = document.getElementById("theme");
    menu.value = chosen;
    menu.addEventListener("change", () => {
      chosen = menu.value;
      try {
        localStorage.setItem("medimg-theme", chosen);
      } catch {
        // then it holds until the page is left
      }
      apply();
    });
  });
})();
