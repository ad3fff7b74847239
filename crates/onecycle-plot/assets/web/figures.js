// Figures of a report: each one that has data becomes a chart with hover and zoom. Its picture stays
// for printing, and for a browser without scripts. Follows charts.js in the same script.

const palette = new Map(["blue", "vermillion", "green", "purple", "orange", "sky", "black"].map((name, index) => [name, index]));
const DASH = { dashed: [8, 4] };

for (const figure of document.querySelectorAll("figure")) {
  const text = figure.querySelector("script[type='application/json']");
  if (!text) continue;
  const told = JSON.parse(text.textContent);
  let view = null;
  const chart = new Chart(figure, {
    title: told.title,
    labels: [told.x.label, told.y.label, told.right?.label],
    logX: told.x.log,
    log: told.y.log,
    logRight: told.right?.log,
    rangeY: told.y.range,
    height: 340,
    range: () => view ?? told.x.range,
    marks: () => told.marks.map(([x, label]) => ({ x, label })),
    zoom: (min, max) => {
      view = min === null ? null : [min, max];
      chart.touch();
    },
  });
  const fill = () => chart.set(told.series.map(one => ({
    ...one,
    colour: style(palette.get(one.colour)).colour,
    dash: DASH[one.style],
    faint: one.style === "faint",
    points: { points: "only", line_points: true }[one.style],
  })));
  const picture = figure.firstElementChild;
  picture.classList.add("picture");
  figure.prepend(chart.root);
  fill();
  onTheme(fill);
}
