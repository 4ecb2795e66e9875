// The page for an API that does not answer: looks until it does, then loads what was asked for.
(() => {
  "use strict";
  const EVERY_MS = 3000;
  const place = document.querySelector("[data-recover]");
  const look = async () => {
    try {
      const answer = await fetch("/readyz", { cache: "no-store", signal: AbortSignal.timeout(EVERY_MS) });
      if (answer.ok) {
        if (place.dataset.recover === "reload") return location.reload();
        place.querySelector("[data-recover-text]").textContent = "The Platform API answers again.";
        return undefined;
      }
    } catch {
      // Still away: look again.
    }
    return setTimeout(look, EVERY_MS);
  };
  setTimeout(look, EVERY_MS);
})();
