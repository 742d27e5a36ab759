const options = { mode: "vega-lite", renderer: "svg", actions: false, ast: true };
const dark = matchMedia("(prefers-color-scheme: dark)");
const inPrint = matchMedia("print");
function paint(view) {
  const style = getComputedStyle(document.documentElement);
  for (const name of ["ink", "quiet", "line", "paper"]) view.signal(name, style.getPropertyValue(`--${name}`).trim());
  view.signal("dark", dark.matches).run();
}
for (const place of document.querySelectorAll("[data-chart]")) {
  vegaEmbed(place, specs[place.dataset.chart], options).then(({ view }) => {
    paint(view);
    for (const query of [dark, inPrint]) query.addEventListener("change", () => paint(view));
  });
}
