// Draws the charts of a page: bars of audio, a line of requests, in the theme's own colours.
(() => {
  "use strict";
  const HEIGHT = 228; // with the legend below it as high as the place that the page keeps
  const drawn = new Map();

  // As the server writes them (frontend/wording.py), whatever the browser's language; a form of Intl's costs more time
  // than all the drawing.
  const countText = (count) => String(count).replace(/\B(?=(\d{3})+$)/g, ",");
  const dayText = (seconds) => new Date(seconds * 1000).toUTCString().slice(0, 11); // Mon, 23 Nov

  const hoursText = (hours) => {
    if (hours === null || hours === undefined) return "–";
    if (hours >= 1) return `${hours.toFixed(2)} h`;
    if (hours >= 1 / 60) return `${(hours * 60).toFixed(1)} min`;
    return `${(hours * 3600).toFixed(1)} s`;
  };

  const draw = (place) => {
    drawn.get(place)?.destroy();
    const data = JSON.parse(place.dataset.chart);
    const { color, borderTopColor: grid, outlineColor: muted, textDecorationColor: second } = getComputedStyle(place);
    const axis = { stroke: muted, grid: { stroke: grid, width: 1 }, ticks: { show: false }, font: "12px Inter, system-ui" };
    const chart = new uPlot({
      width: place.clientWidth,
      height: HEIGHT,
      // The bill's days are UTC days.
      tzDate: (seconds) => uPlot.tzDate(new Date(seconds * 1000), "Etc/UTC"),
      cursor: { y: false, points: { show: false } },
      legend: { live: true },
      scales: {
        x: { range: (self, low, high) => [low - 43200, high + 43200] },
        hours: { range: (self, low, high) => [0, high > 0 ? high * 1.12 : 1] },
        requests: { range: (self, low, high) => [0, Math.max(high * 1.12, 4)] },
      },
      axes: [
        { ...axis, grid: { show: false }, values: (self, splits) => splits.map((seconds) => dayText(seconds).slice(5)), space: 70, size: 34 },
        { ...axis, scale: "hours", size: 66, values: (self, splits) => splits.map((value) => (value ? hoursText(value) : "0")) },
        { ...axis, scale: "requests", side: 1, size: 48, grid: { show: false }, values: (self, splits) => splits.map((value) => (Number.isInteger(value) ? countText(value) : "")) },
      ],
      series: [
        { label: "Day", value: (self, seconds) => (seconds === null ? "–" : dayText(seconds)) },
        { label: "Audio", scale: "hours", stroke: color, fill: color, paths: uPlot.paths.bars({ size: [0.62, 40], radius: 0.15 }), points: { show: false }, value: (self, value) => hoursText(value) },
        { label: "Requests", scale: "requests", stroke: second, width: 2, points: { show: place.clientWidth > data.days.length * 18, size: 6, fill: second }, value: (self, value) => (value === null ? "–" : countText(value)) },
      ],
    }, [data.days, data.hours, data.requests], place);
    drawn.set(place, chart);
  };

  const drawAll = () => {
    for (const [place, chart] of drawn) {
      if (!place.isConnected) {
        chart.destroy();
        drawn.delete(place);
      }
    }
    for (const place of document.querySelectorAll("[data-chart]")) draw(place);
  };

  let waiting = 0;
  addEventListener("resize", () => {
    clearTimeout(waiting);
    waiting = setTimeout(() => {
      for (const [place, chart] of drawn) chart.setSize({ width: place.clientWidth, height: HEIGHT });
    }, 100);
  });
  document.addEventListener("theme-changed", drawAll);
  document.addEventListener("htmx:afterSettle", (event) => {
    if (event.detail.target.id === "main" || event.detail.elt.id === "main") drawAll();
  });
  // The page is seen first; the place of its charts is kept.
  requestAnimationFrame(() => setTimeout(drawAll));
})();
