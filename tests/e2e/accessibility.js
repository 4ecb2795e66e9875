// What WCAG 2.2 AA requires of a page, as far as a script can see it: contrast by computed styles, names, structure, sizes.
// A function without arguments; returns the faults it found, each a sentence with the element's beginning.
() => {
  const faults = [];
  const say = (element, text) => faults.push(`${text}: ${element.outerHTML.replace(/\s+/g, " ").slice(0, 110)}`);
  const all = (selector) => [...document.querySelectorAll(selector)];
  const seen = (element) => {
    const { width, height } = element.getBoundingClientRect();
    return element.checkVisibility({ visibilityProperty: true }) && width > 1 && height > 1;
  };
  // While a dialog is open, what is behind it is inert.
  const dialog = document.querySelector("dialog[open]");
  const reachable = (element) => !dialog || dialog.contains(element);

  // --- contrast: 1.4.3 ---
  const parse = (text) => {
    const parts = text.match(/[\d.]+/g)?.map(Number) ?? [0, 0, 0, 0];
    const scale = text.startsWith("color(") ? 255 : 1;
    return [...parts.slice(0, 3).map((part) => part * scale), parts[3] ?? 1];
  };
  const over = (front, back) => [0, 1, 2].map((i) => front[i] * front[3] + back[i] * (1 - front[3])).concat(1);
  const groundOf = (element) => {
    const layers = [];
    for (let at = element; at; at = at.parentElement) {
      const style = getComputedStyle(at);
      if (style.backgroundImage !== "none") return null;
      layers.push(parse(style.backgroundColor));
      if (layers.at(-1)[3] === 1 || at === dialog) break;
    }
    return layers.reduceRight((back, front) => over(front, back), [255, 255, 255, 1]);
  };
  const luminance = (colour) => {
    const [red, green, blue] = colour.map((part) => {
      const share = part / 255;
      return share <= 0.04045 ? share / 12.92 : ((share + 0.055) / 1.055) ** 2.4;
    });
    return 0.2126 * red + 0.7152 * green + 0.0722 * blue;
  };
  const contrast = (one, other) => {
    const [high, low] = [luminance(one), luminance(other)].sort((a, b) => b - a);
    return (high + 0.05) / (low + 0.05);
  };
  const checkContrast = (element, pseudo) => {
    if (element.closest("[disabled], [aria-disabled=true], [aria-busy=true]")) return;
    const style = getComputedStyle(element, pseudo);
    const ground = groundOf(element);
    if (!ground) return;
    const ink = parse(style.color);
    for (let at = element; at; at = at.parentElement) ink[3] *= Number(getComputedStyle(at).opacity);
    const size = parseFloat(style.fontSize);
    const large = size >= 24 || (size >= 18.66 && Number(style.fontWeight) >= 700);
    const found = contrast(over(ink, ground), ground);
    if (found < (large ? 3 : 4.5)) say(element, `contrast ${found.toFixed(2)}`);
  };
  // Words fade in when they settle; what counts is how they stay.
  for (const animation of document.getAnimations()) if (animation.effect.getTiming().iterations === 1) animation.finish();
  const texts = document.createTreeWalker(document.body, NodeFilter.SHOW_TEXT);
  const checked = new Set();
  while (texts.nextNode()) {
    const element = texts.currentNode.parentElement;
    if (!texts.currentNode.data.trim() || checked.has(element) || element.closest("script, noscript, style")) continue;
    checked.add(element);
    if (seen(element) && reachable(element)) checkContrast(element);
  }
  for (const input of all("input, select, textarea")) {
    if (!seen(input) || !reachable(input)) continue;
    checkContrast(input);
    if (input.placeholder) checkContrast(input, "::placeholder");
  }

  // --- names: 1.1.1, 1.3.1, 4.1.2 ---
  const textOf = (element) => {
    const copy = element.cloneNode(true);
    for (const hidden of copy.querySelectorAll("[aria-hidden=true], script, style")) hidden.remove();
    return copy.textContent.trim();
  };
  const nameOf = (element) => {
    const ids = element.getAttribute("aria-labelledby");
    if (ids) return ids.split(/\s+/).map((id) => document.getElementById(id)?.textContent ?? "").join(" ").trim();
    const labels = element.labels ? [...element.labels].map(textOf).join(" ").trim() : "";
    return element.getAttribute("aria-label")?.trim() || labels || element.getAttribute("title")?.trim() || "";
  };
  for (const element of all("input:not([type=hidden]), select, textarea, progress, meter")) {
    if (!nameOf(element)) say(element, "a control without a name");
  }
  for (const element of all("a[href], button, summary, [role=tab], [role=button]")) {
    if (!nameOf(element) && !textOf(element)) say(element, "a link or button without a name");
  }
  for (const element of all("img:not([alt])")) say(element, "an image without an alternative");
  for (const element of all("svg:not([aria-hidden=true])")) {
    if (element.getAttribute("role") !== "img" || !nameOf(element)) say(element, "a drawing that is neither hidden nor named");
  }
  for (const element of all("nav, dialog[open], [role=region], [role=group], [role=tablist], [role=log], section[role], form[role=search]")) {
    if (element.matches("form[role=search]")) continue;
    if (!nameOf(element)) say(element, "a region without a name");
  }
  for (const element of all("fieldset")) if (!element.querySelector(":scope > legend")?.textContent.trim()) say(element, "a fieldset without a legend");
  for (const element of all("input[type=password]")) if (!element.autocomplete) say(element, "a password without autocomplete (1.3.5)");

  // --- structure: 1.3.1, 2.4.1, 2.4.2, 2.4.6, 3.1.1, 4.1.1 ---
  const ids = all("[id]").map((element) => element.id);
  for (const id of new Set(ids.filter((id, index) => ids.indexOf(id) !== index))) faults.push(`the id ${id} is used twice`);
  for (const name of ["aria-labelledby", "aria-describedby", "aria-controls", "for"]) {
    for (const element of all(`[${name}]`)) {
      if (element.matches("dialog:not([open])")) continue;
      for (const id of element.getAttribute(name).split(/\s+/)) {
        if (!ids.includes(id)) say(element, `${name} names ${id}, which is not there`);
      }
    }
  }
  if (!document.documentElement.lang) faults.push("the page has no language");
  if (!document.title.trim()) faults.push("the page has no title");
  if (all("main").length !== 1) faults.push(`the page has ${all("main").length} main landmarks`);
  if (all("h1").filter(seen).length !== 1 && !document.getElementById("panel")) faults.push(`the page has ${all("h1").filter(seen).length} first headings`);
  let level = 0;
  for (const heading of all("main h1, main h2, main h3, main h4").filter(seen)) {
    const next = Number(heading.tagName[1]);
    if (level && next > level + 1) say(heading, `a heading of level ${next} after one of level ${level}`);
    level = next;
  }
  // What is one image has no structure of its own.
  for (const element of all("th:not([scope])")) if (!element.closest("[role=img]")) say(element, "a table heading without a scope");
  for (const list of all("ul, ol")) {
    for (const child of list.children) if (!child.matches("li, script, template")) say(child, "no item in a list");
  }

  // --- keyboard: 2.1.1, 2.4.3, 4.1.2 ---
  for (const element of all("[tabindex]")) if (element.tabIndex > 0) say(element, "a tab order of its own");
  for (const element of all("[aria-hidden=true] a[href], [aria-hidden=true] button, [aria-hidden=true] [tabindex]")) say(element, "a control in hidden content");
  for (const element of all("main *")) {
    const style = getComputedStyle(element);
    if (!["auto", "scroll"].includes(style.overflowX) || element.scrollWidth <= element.clientWidth + 1 || !seen(element)) continue;
    if (element.tabIndex < 0 && !element.querySelector("a[href], button, input")) say(element, "scrolls, and no key reaches it");
  }

  // --- size of targets: 2.5.8 ---
  const targets = all("a[href], button, select, summary, input:not([type=hidden]), [role=tab]").filter((element) => seen(element) && reachable(element));
  for (const element of targets) {
    const box = (element.matches("[type=checkbox], [type=radio]") ? element.closest("label") ?? element : element).getBoundingClientRect();
    const inText = element.matches("a") && getComputedStyle(element).display === "inline";
    if (!inText && (box.width < 24 || box.height < 24)) say(element, `a target of ${Math.round(box.width)} × ${Math.round(box.height)} px`);
  }

  // --- 1.4.10 Reflow ---
  const beyond = document.documentElement.scrollWidth - document.documentElement.clientWidth;
  if (beyond > 0) faults.push(`the page scrolls sideways by ${beyond} px`);
  // What a table's rows offer must be seen without scrolling, where the window is wide enough for any table.
  for (const table of all(".table-wrap").filter(seen)) {
    if (innerWidth >= 1200 && table.scrollWidth > table.clientWidth) say(table, `a table scrolls sideways by ${table.scrollWidth - table.clientWidth} px`);
  }
  for (const control of all("a.button, button").filter(seen).filter(reachable)) {
    const { left, right } = control.getBoundingClientRect();
    if (!control.closest(".table-wrap, .segments, .tabs") && (left < 0 || right > innerWidth + 1)) say(control, "a control is cut off by the window's edge");
  }
  return faults;
}
