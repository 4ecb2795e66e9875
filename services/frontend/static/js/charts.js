// Draws the charts of a page: bars of one measure by day, stacked where there are several series, in the theme's colours.
(() => {
  "use strict";
  const HEIGHT = 232; // the place that the page keeps
  const DAY = 86400;
  const drawn = new Map();
  let measure = "hours";

  // As the server writes them (frontend/wording.py), whatever the browser's language; a form of Intl's costs more time
  // than all the drawing.
  const countText = (count) => String(count).replace(/\B(?=(\d{3})+$)/g, ",");
  const dayText = (seconds) => new Date(seconds * 1000).toUTCString().slice(0, 11); // Mon, 23 Nov
  const hoursText = (hours) => {
    if (hours >= 1) return `${hours.toFixed(2)} h`;
    if (hours >= 1 / 60) return `${(hours * 60).toFixed(1)} min`;
    return `${(hours * 3600).toFixed(1)} s`;
  };
  const costText = (cost) => `$${cost.toFixed(cost && cost < 0.001 ? 6 : cost && cost < 0.01 ? 4 : 2)}`;
  // A tick is a round number of its unit: as few digits as it has.
  const plain = (value) => countText(Number(value.toFixed(6))).replace(/\.(.*)$/, (part) => part.replaceAll(",", ""));

  // How a measure is written, and what it is drawn in: so many of a unit whose ticks are round.
  const MEASURES = {
    hours: {
      text: hoursText,
      scale: (most) => (most >= 1 ? [1, " h"] : most >= 1 / 60 ? [60, " min"] : [3600, " s"]),
      tick: (value, unit) => `${plain(value)}${unit}`,
    },
    requests: { text: (count) => `${countText(count)} request${count === 1 ? "" : "s"}`, scale: () => [1, ""], tick: plain, whole: true },
    cost: { text: costText, scale: () => [1, ""], tick: (value) => `$${plain(value)}` },
  };
  const ROUND = [1, 2, 5].flatMap((digit) => [...Array(16).keys()].map((power) => digit * 10 ** (power - 6))).sort((a, b) => a - b);
  // Whole days and weeks: between two ticks is no part of a day.
  const DAYS = [1, 2, 4, 7, 14, 28, 56, 91, 182].map((count) => count * DAY);

  // The tooltip follows the pointer and stays inside of its chart.
  const tipOf = (place) => {
    const tip = document.createElement("div");
    tip.className = "chart-tip";
    tip.setAttribute("aria-hidden", "true");
    tip.hidden = true;
    place.append(tip);
    return tip;
  };
  const line = (name, text, colour) => {
    const row = document.createElement("p");
    if (colour) {
      const swatch = document.createElement("i");
      swatch.className = colour;
      row.append(swatch);
    }
    const label = document.createElement("bdi");
    label.textContent = name;
    const value = document.createElement("span");
    value.textContent = text;
    row.append(label, value);
    return row;
  };
  const showTip = (chart, place, tip, data) => {
    const { idx, left, top } = chart.cursor;
    tip.hidden = idx === null || idx === undefined || left < 0;
    if (tip.hidden) return;
    const { text } = MEASURES[measure];
    const values = data[measure].map((series) => series[idx]);
    const day = document.createElement("strong");
    day.textContent = dayText(data.days[idx]);
    const rows = values.length === 1 ? [line("", text(values[0]))] : values
      .map((value, at) => [value, line(data.names[at], text(value), `swatch series-${at + 1}`)])
      .filter(([value]) => value > 0).map(([, row]) => row);
    if (values.length > 1) rows.push(line("Total", text(values.reduce((sum, value) => sum + value, 0))));
    tip.replaceChildren(day, ...rows);
    const x = left + chart.over.offsetLeft;
    const beside = x + 14 + tip.offsetWidth > place.clientWidth ? x - 14 - tip.offsetWidth : x + 14;
    tip.style.setProperty("left", `${Math.max(0, beside)}px`);
    tip.style.setProperty("top", `${Math.max(0, Math.min(top + chart.over.offsetTop + 14, HEIGHT - tip.offsetHeight))}px`);
  };

  const draw = (place) => {
    drawn.get(place)?.destroy();
    place.querySelector(".chart-tip")?.remove();
    const data = JSON.parse(place.dataset.chart);
    const { scale, tick, whole } = MEASURES[measure];
    // From the highest sum down: what is drawn later covers all but its part of it.
    const sums = data.days.map(() => 0);
    const stacked = data[measure].map((series) => series.map((value, at) => { sums[at] += value; return sums[at]; }));
    const [factor, unit] = scale(Math.max(0, ...sums));
    const shown = stacked.map((series) => series.map((value) => value * factor)).reverse();
    const { color, borderTopColor: grid, outlineColor: muted } = getComputedStyle(place);
    const swatches = [...place.parentElement.querySelectorAll(".legend .swatch")].map((one) => getComputedStyle(one).backgroundColor);
    const colours = (swatches.length ? swatches : [color]).reverse();
    const axis = { stroke: muted, grid: { stroke: grid, width: 1 }, ticks: { show: false }, font: "12px Inter, system-ui" };
    const tip = tipOf(place);
    const chart = new uPlot({
      width: place.clientWidth,
      height: HEIGHT,
      // The bill's days are UTC days.
      tzDate: (seconds) => uPlot.tzDate(new Date(seconds * 1000), "Etc/UTC"),
      cursor: { y: false, points: { show: false }, drag: { x: false, y: false } },
      legend: { show: false },
      scales: {
        x: { range: (self, low, high) => [low - DAY / 2, high + DAY / 2] },
        y: { range: (self, low, high) => [0, whole ? Math.max(high * 1.08, 4) : high > 0 ? high * 1.08 : 1] },
      },
      axes: [
        { ...axis, grid: { show: false }, incrs: DAYS, values: (self, splits) => splits.map((seconds) => dayText(seconds).slice(5)), space: 70, size: 34 },
        { ...axis, size: 70, incrs: whole ? ROUND.filter((step) => step >= 1) : ROUND, values: (self, splits) => splits.map((value) => (value ? tick(value, unit) : "0")) },
      ],
      series: [
        {},
        ...shown.map((_, at) => ({ stroke: null, width: 0, fill: colours[at], paths: uPlot.paths.bars({ size: [0.62, 40] }), points: { show: false } })),
      ],
      hooks: { setCursor: [(self) => showTip(self, place, tip, data)] },
    }, [data.days, ...shown], place);
    drawn.set(place, chart);
  };

  const drawAll = () => {
    for (const [place, chart] of drawn) {
      if (!place.isConnected) {
        chart.destroy();
        drawn.delete(place);
      }
    }
    for (const button of document.querySelectorAll("[data-measure]")) button.setAttribute("aria-pressed", String(button.dataset.measure === measure));
    for (const place of document.querySelectorAll("[data-chart]")) draw(place);
  };

  let waiting = 0;
  addEventListener("resize", () => {
    clearTimeout(waiting);
    waiting = setTimeout(() => {
      for (const [place, chart] of drawn) chart.setSize({ width: place.clientWidth, height: HEIGHT });
    }, 100);
  });
  document.addEventListener("click", (event) => {
    const button = event.target.closest("[data-measure]");
    if (!button) return;
    measure = button.dataset.measure;
    drawAll();
  });
  document.addEventListener("theme-changed", drawAll);
  document.addEventListener("htmx:afterSettle", (event) => {
    if (event.detail.target.id === "main" || event.detail.elt.id === "main") drawAll();
  });
  // The page is seen first; the place of its charts is kept.
  requestAnimationFrame(() => setTimeout(drawAll));
})();
