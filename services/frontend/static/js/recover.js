// The page for an API that does not respond: checks until it does, then loads the requested page.
(() => {
  "use strict";
  const EVERY_MS = 3000;
  const place = document.querySelector("[data-recover]");
  const look = async () => {
    try {
      const response = await fetch("/readyz", { cache: "no-store", signal: AbortSignal.timeout(EVERY_MS) });
      if (response.ok) {
        if (place.dataset.recover === "reload") return location.reload();
        place.querySelector("[data-recover-text]").textContent = "The console is available again.";
        return undefined;
      }
    } catch {
      // Still unavailable: check again.
    }
    return setTimeout(look, EVERY_MS);
  };
  setTimeout(look, EVERY_MS);
})();
