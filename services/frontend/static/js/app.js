// What every page does in the browser: theme, menu, dialogs, copying, notices. No page needs it in order to be read.
(() => {
  "use strict";
  const HALF_A_YEAR = 180 * 86400;
  const secure = location.protocol === "https:" ? "; Secure" : "";
  const setCookie = (name, value, seconds) => {
    document.cookie = `${name}=${value}; Path=/; Max-Age=${seconds}; SameSite=Lax${secure}`;
  };

  // The server writes times in the zone that the browser sent it. What it wrote in another, as on the very first page,
  // is written anew, in the form of frontend/wording.py. A date's own figures cost next to nothing; one
  // Intl.DateTimeFormat takes as long as the layout of a whole page, so the zone's name is read when there is time.
  for (const time of document.querySelectorAll("time[datetime]:not([data-utc])")) {
    const at = new Date(time.dateTime);
    const [, month, day, year] = at.toDateString().split(" ");
    const clock = [at.getHours(), at.getMinutes(), at.getSeconds()].slice(0, time.textContent.split(":").length);
    const text = `${day} ${month} ${year}, ${clock.map((figure) => String(figure).padStart(2, "0")).join(":")}`;
    if (time.textContent !== text) time.textContent = text;
  }
  const tellZone = () => {
    const zone = Intl.DateTimeFormat().resolvedOptions().timeZone;
    if (!zone || document.cookie.split("; ").includes(`zone=${zone}`)) return;
    setCookie("zone", zone, HALF_A_YEAR);
    for (const name of document.querySelectorAll("[data-zone]")) name.textContent = zone;
  };
  // Safari has no idle callbacks.
  if (window.requestIdleCallback) requestIdleCallback(tellZone, { timeout: 1000 });
  else setTimeout(tellZone);

  const toast = (text) => {
    const place = document.getElementById("toast");
    const line = document.createElement("p");
    line.textContent = text;
    place.replaceChildren(line);
    fadeToast();
  };
  let fading = 0;
  const fadeToast = () => {
    clearTimeout(fading);
    fading = setTimeout(() => document.getElementById("toast").replaceChildren(), 6000);
  };
  if (document.querySelector("#toast p")) fadeToast();

  const chooseTheme = (theme) => {
    setCookie("theme", theme, theme ? HALF_A_YEAR : 0);
    if (theme) document.documentElement.dataset.theme = theme;
    else delete document.documentElement.dataset.theme;
    for (const button of document.querySelectorAll("[data-theme-choice]")) {
      button.setAttribute("aria-pressed", String(button.dataset.themeChoice === theme));
    }
    document.dispatchEvent(new CustomEvent("theme-changed"));
  };
  matchMedia("(prefers-color-scheme: dark)").addEventListener("change", () => {
    document.dispatchEvent(new CustomEvent("theme-changed"));
  });

  const toggleMenu = (open) => {
    const button = document.querySelector("[data-menu]");
    if (!button) return;
    button.setAttribute("aria-expanded", String(open));
    document.getElementById("side").classList.toggle("open", open);
  };

  const copy = async (button) => {
    const source = document.getElementById(button.dataset.copy);
    try {
      await navigator.clipboard.writeText(source.textContent.trim());
      const label = button.querySelector("[data-copy-label]");
      const before = label.textContent;
      label.textContent = button.dataset.done;
      toast("Copied to the clipboard.");
      setTimeout(() => { label.textContent = before; }, 2000);
    } catch {
      getSelection().selectAllChildren(source);
      toast("The browser does not let this page copy. The text is selected: copy it manually.");
    }
  };

  const selectTab = (tab) => {
    for (const other of tab.parentElement.querySelectorAll("[role=tab]")) {
      const chosen = other === tab;
      other.setAttribute("aria-selected", String(chosen));
      other.tabIndex = chosen ? 0 : -1;
      document.getElementById(other.getAttribute("aria-controls")).hidden = !chosen;
    }
  };

  // A password can be looked at, until it is sent or hidden again.
  const showPassword = (button, shown) => {
    document.getElementById(button.dataset.show).type = shown ? "text" : "password";
    button.toggleAttribute("data-shown", shown);
    button.firstElementChild.textContent = shown ? "Hide" : "Show";
  };
  for (const button of document.querySelectorAll("[data-show][hidden]")) button.hidden = false;

  document.addEventListener("click", (event) => {
    const at = (selector) => event.target.closest(selector);
    let found;
    if ((found = at("[data-theme-choice]"))) chooseTheme(found.dataset.themeChoice);
    else if ((found = at("[data-menu]"))) toggleMenu(found.getAttribute("aria-expanded") !== "true");
    else if ((found = at("[data-copy]"))) copy(found);
    else if (at("[data-print]")) print();
    else if ((found = at("[role=tab]"))) selectTab(found);
    else if ((found = at("[data-show]"))) showPassword(found, !found.hasAttribute("data-shown"));
    else if ((found = at("[data-close]")) && found.closest("dialog")) {
      // On a page of its own the same control is a link back.
      event.preventDefault();
      found.closest("dialog").close();
    }
    for (const menu of document.querySelectorAll("details[data-dismiss][open]")) {
      if (!menu.contains(event.target)) menu.open = false;
    }
  });

  document.addEventListener("keydown", (event) => {
    if (event.key === "Escape") {
      for (const menu of document.querySelectorAll("details[data-dismiss][open]")) {
        menu.open = false;
        menu.querySelector("summary").focus();
      }
      toggleMenu(false);
    }
    if ((event.key === "ArrowRight" || event.key === "ArrowLeft") && event.target.role === "tab") {
      const tabs = [...event.target.parentElement.querySelectorAll("[role=tab]")];
      const step = event.key === "ArrowRight" ? 1 : tabs.length - 1;
      const next = tabs[(tabs.indexOf(event.target) + step) % tabs.length];
      selectTab(next);
      next.focus();
    }
  });

  document.addEventListener("submit", (event) => {
    // Browsers remember what is in a field of text.
    for (const button of event.target.querySelectorAll("[data-shown]")) showPassword(button, false);
  });

  // A form whose repetition would do harm is sent once.
  document.addEventListener("submit", (event) => {
    if (!event.target.matches("form[data-once]")) return;
    for (const button of event.target.querySelectorAll("button[type=submit]")) button.setAttribute("aria-busy", "true");
    if (event.target.dataset.sent) event.preventDefault();
    event.target.dataset.sent = "yes";
  });
  addEventListener("pageshow", (event) => {
    // Back to a page that the browser kept: its forms are fresh again.
    if (!event.persisted) return;
    for (const form of document.querySelectorAll("form[data-sent]")) {
      delete form.dataset.sent;
      for (const button of form.querySelectorAll("[aria-busy]")) button.removeAttribute("aria-busy");
    }
  });

  // A form in a dialog is refused there, one of a page of its own on that page.
  document.addEventListener("htmx:configRequest", ({ target, detail }) => {
    if (target.closest("dialog")) detail.headers["X-Dialog"] = "true";
  });

  // What is typed into a form outlives an ended session: it is kept in this tab until the response is there, and comes
  // back to the same form if that response was the login. No password and no hidden field is kept.
  const DRAFT = "draft";
  const KEPT = "input:not([type=hidden], [type=password], [type=file], [autocomplete=one-time-code]), select, textarea";
  const user = document.body.dataset.user;
  let dialogPath = "";
  const storedDraft = () => {
    try { return JSON.parse(sessionStorage.getItem(DRAFT)); } catch { return null; }
  };
  const keepDraft = (draft) => {
    try { sessionStorage.setItem(DRAFT, JSON.stringify(draft)); } catch { /* Too large, or not allowed: nothing comes back. */ }
  };
  const fieldsOf = (form) => [...form.querySelectorAll(KEPT)];
  document.addEventListener("htmx:beforeRequest", ({ detail }) => {
    if (detail.target.id === "dialog-body" && detail.requestConfig.verb === "get") dialogPath = detail.requestConfig.path;
  });
  document.addEventListener("submit", ({ target: form }) => {
    if (form.method !== "post" || !user || !fieldsOf(form).length) return;
    keepDraft({
      user,
      page: form.closest("dialog") ? dialogPath : location.pathname + location.search,
      action: form.getAttribute("action"),
      fields: fieldsOf(form).map(({ name, type, value, checked }) => [name, type, value, checked]),
    });
  }, true);
  document.addEventListener("htmx:afterRequest", ({ detail: { xhr } }) => {
    if (xhr.status && !xhr.getResponseHeader("HX-Redirect")) sessionStorage.removeItem(DRAFT);
  });
  const fillIn = (form, fields) => {
    for (const [name, type, value, checked] of fields) {
      const choice = type === "checkbox" || type === "radio";
      const field = fieldsOf(form).find((one) => one.name === name && one.type === type && (!choice || one.value === value));
      if (!field) continue;
      if (choice) field.checked = checked;
      else field.value = value;
    }
    const place = document.createElement("p");
    place.className = "banner good";
    place.setAttribute("role", "status");
    place.textContent = "Nothing was saved before you logged in again. Your text is back: check it and send it.";
    form.prepend(place);
  };
  const draft = storedDraft();
  const login = document.querySelector("form[data-login]");
  if (draft && login) {
    keepDraft({ ...draft, returning: true });
    login.elements.next.value = draft.page;
  } else if (draft) {
    sessionStorage.removeItem(DRAFT);
    const form = [...document.forms].find((one) => one.getAttribute("action") === draft.action && fieldsOf(one).length);
    if (form && draft.returning && draft.user === user && draft.page === location.pathname + location.search) fillIn(form, draft.fields);
  }

  // htmx: a failed request is shown where its reader is; a new page gets the focus that it marks.
  const showFailure = (event, inForm, elsewhere) => {
    const form = event.detail.elt.closest("form[method=post]");
    if (!form) {
      toast(elsewhere);
      return;
    }
    // The form keeps what was typed; only it knows what did not happen.
    const place = form.querySelector("[data-failure]") ?? document.createElement("p");
    place.dataset.failure = "";
    place.className = "banner danger";
    place.setAttribute("role", "alert");
    place.textContent = inForm;
    form.prepend(place);
  };
  document.addEventListener("htmx:responseError", (event) => {
    const status = event.detail.xhr.status;
    if (status === 503) {
      showFailure(
        event,
        "Your change may not have been saved: the console is temporarily unavailable. Your text is kept here. Check, then send it again.",
        "The console is temporarily unavailable. Trying again.",
      );
    } else {
      showFailure(event, `Nothing was saved (${status}). Your text is kept here.`, `That did not work (${status}). Reload the page.`);
    }
  });
  const offline = "The console cannot be reached. Check your network.";
  document.addEventListener("htmx:sendError", (event) => showFailure(event, `${offline} Your text is kept here.`, offline));
  document.addEventListener("htmx:timeout", (event) => showFailure(event, `${offline} Your text is kept here.`, offline));
  document.addEventListener("htmx:afterSettle", (event) => {
    if (event.detail.target.id === "dialog-body") {
      const dialog = document.getElementById("dialog");
      if (!dialog.open) dialog.showModal();
    }
    const wanted = document.querySelector("#dialog[open] [data-focus]") ?? event.detail.elt.querySelector("[data-focus]");
    if (wanted) wanted.focus();
  });

  // What takes longer than a glance is seen to be on its way; what is fetched anew by itself is not.
  const GLANCE_MS = 150;
  let busy = 0;
  document.addEventListener("htmx:beforeRequest", (event) => {
    if (event.detail.requestConfig.triggeringEvent?.type === "tick") return;
    clearTimeout(busy);
    busy = setTimeout(() => { document.documentElement.dataset.busy = ""; }, GLANCE_MS);
  });
  document.addEventListener("htmx:afterRequest", () => {
    clearTimeout(busy);
    delete document.documentElement.dataset.busy;
  });

  // What changes by the second is fetched anew while somebody looks.
  const TICK_MS = 4000;
  setInterval(() => {
    if (document.visibilityState === "visible") document.body.dispatchEvent(new CustomEvent("tick"));
  }, TICK_MS);
})();
