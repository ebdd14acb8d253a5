// Light, dark, or as the system has it. Not a module, so that it runs before anything is drawn.
(() => {
  "use strict";
  const choices = ["system", "light", "dark"];
  const remembered = () => {
    try {
      return localStorage.getItem("theme");
    } catch {
      return null; // Storage can be forbidden; the system's theme is a good one.
    }
  };
  let choice = choices.includes(remembered()) ? remembered() : "system";

  function apply() {
    if (choice === "system") {
      delete document.documentElement.dataset.theme;
    } else {
      document.documentElement.dataset.theme = choice;
    }
    const button = document.getElementById("theme");
    if (button) {
      button.textContent = `Theme: ${choice}`;
    }
    dispatchEvent(new Event("themechange"));
  }

  apply();
  matchMedia("(prefers-color-scheme: dark)").addEventListener("change", apply);
  addEventListener("DOMContentLoaded", () => {
    apply();
    document.getElementById("theme")?.addEventListener("click", () => {
      choice = choices[(choices.indexOf(choice) + 1) % choices.length];
      try {
        localStorage.setItem("theme", choice);
      } catch {
        // It holds for this visit only, then.
      }
      apply();
    });
  });
})();
