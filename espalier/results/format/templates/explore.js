const options = { mode: "vega-lite", renderer: "svg", actions: false, ast: true };
for (const place of document.querySelectorAll("[data-chart]")) {
  vegaEmbed(place, specs[place.dataset.chart], options);
}
