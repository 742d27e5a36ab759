const options = { mode: "vega-lite", renderer: "svg", actions: false, ast: true };
const dark = matchMedia("(prefers-color-scheme: dark)");
const names = ["ink", "quiet", "line", "paper"];
function theme() {
  const style = getComputedStyle(document.documentElement);
  return { dark: dark.matches, ...Object.fromEntries(names.map(name => [name, style.getPropertyValue(`--${name}`).trim()])) };
}
function paint(view, signals) {
  for (const [name, value] of Object.entries(signals)) view.signal(name, value);
  view.run();
}
for (const place of document.querySelectorAll("[data-chart]")) {
  vegaEmbed(place, specs[place.dataset.chart], options).then(({ view }) => {
    const onPaper = Object.fromEntries(["dark", ...names].map(name => [name, view.signal(name)]));
    paint(view, theme());
    dark.addEventListener("change", () => paint(view, theme()));
    addEventListener("beforeprint", () => paint(view, onPaper));
    addEventListener("afterprint", () => paint(view, theme()));
  });
}
