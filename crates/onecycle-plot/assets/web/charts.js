// Charts: a thin layer over uPlot, for the live page and for reports. A series is {name, x, y, colour,
// dash, faint, points, right, upper}: `points` is true or "only", `upper` the other edge of a band.
// Series of one chart may have different x. All text becomes text nodes or canvas text, never markup.

const LIGHT = ["#0072b2", "#d55e00", "#009e73", "#cc79a7", "#e69f00", "#56b4e9", "#222222"];
const DARK = ["#4aa8e0", "#f07f2e", "#1fc296", "#dd97bd", "#e69f00", "#56b4e9", "#d8dade"];
const DASHES = [[], [8, 4], [2, 3]];
const theme = matchMedia("(prefers-color-scheme: dark)");

// The colours of Okabe and Ito, which can be told apart with any colour vision; the same as in the
// figures of a report. From the eighth run on, lines are also dashed.
export function style(index) {
  const colours = theme.matches ? DARK : LIGHT;
  const round = Math.floor(index / colours.length) % DASHES.length;
  return { colour: colours[index % colours.length], dash: DASHES[round] };
}

export function onTheme(changed) {
  theme.addEventListener("change", changed);
}

export function node(name, properties = {}, ...children) {
  const made = document.createElement(name);
  for (const [key, value] of Object.entries(properties)) {
    if (key === "class") made.className = value;
    else made.setAttribute(key, value);
  }
  made.append(...children);
  return made;
}

export function significant(value) {
  if (value === null || value === undefined || !Number.isFinite(value)) return "–";
  const size = Math.abs(value);
  if (size !== 0 && (size < 1e-4 || size >= 1e6)) return value.toExponential(2);
  return String(Number(value.toPrecision(4)));
}

const css = name => getComputedStyle(document.documentElement).getPropertyValue(name).trim();

// Draw charts when they come into view.
const visible = new IntersectionObserver(entries => {
  for (const entry of entries) {
    const chart = entry.target.chart;
    chart.inView = entry.isIntersecting;
    if (chart.inView && chart.dirty) chart.draw();
  }
}, { rootMargin: "100px" });

const resized = new ResizeObserver(entries => {
  for (const entry of entries) {
    const chart = entry.target.chart;
    if (Math.abs(chart.width - entry.contentRect.width) >= 1) chart.touch();
  }
});

export class Chart {
  // options: {title, labels: [x, y, right], log, logX, logRight, percent, sync, range(): [min, max] | null, rangeY,
  // zoom(min, max) | null, marks(): [{x, label, current}], present(): x | null, height}
  constructor(parent, options) {
    this.options = options;
    this.series = [];
    this.inView = false;
    this.dirty = false;
    this.width = 0;
    this.plot = node("div", { class: "plot" });
    this.legend = node("ul", { class: "legend" });
    this.root = node("section", { class: "chart", "aria-label": options.title }, node("h3", {}, options.title), this.plot, this.legend);
    if (options.zoom) {
      this.root.classList.add("zoomable");
      this.plot.tabIndex = 0;
      this.plot.setAttribute("role", "group");
      this.plot.setAttribute("aria-label", `${options.title}: chart; plus and minus zoom, arrows move, 0 shows everything`);
      this.plot.addEventListener("keydown", event => this.key(event));
    }
    this.root.chart = this;
    this.plot.chart = this;
    parent.append(this.root);
    visible.observe(this.root);
    resized.observe(this.plot);
  }

  remove() {
    visible.unobserve(this.root);
    resized.unobserve(this.plot);
    this.uplot?.destroy();
    this.root.remove();
  }

  set(series) {
    this.series = series.filter(one => one.x.length > 0);
    this.root.hidden = this.series.length === 0;
    this.touch();
  }

  touch() {
    this.dirty = true;
    if (this.inView && !this.root.hidden) this.draw();
  }

  // Zoom and move by keys.
  key(event) {
    const scale = this.uplot?.scales.x;
    if (!scale || event.ctrlKey || event.metaKey || event.altKey) return;
    const [min, max] = [scale.min, scale.max];
    const [middle, half] = [(min + max) / 2, (max - min) / 2];
    const to = {
      "+": [middle - half / 2, middle + half / 2],
      "=": [middle - half / 2, middle + half / 2],
      "-": [middle - half * 2, middle + half * 2],
      ArrowLeft: [min - half / 2, max - half / 2],
      ArrowRight: [min + half / 2, max + half / 2],
      0: [null, null],
      Escape: [null, null],
    }[event.key];
    if (!to) return;
    event.preventDefault();
    this.options.zoom(...to);
  }

  draw() {
    if (this.plot.clientWidth === 0 || this.series.length === 0) return;
    this.dirty = false;
    this.width = this.plot.clientWidth;
    // A band takes two columns.
    this.columns = this.series.flatMap(one => one.upper ? [{ one, y: one.upper }, { one, y: one.y }] : [{ one, y: one.y }]);
    const data = uPlot.join(this.columns.map(({ one, y }) => [one.x, y]));
    const shape = JSON.stringify([theme.matches, this.options.log, this.series.map(one => [one.colour, one.dash, one.faint, one.points, one.right, Boolean(one.upper), one.name])]);
    if (this.uplot && shape === this.shape) {
      if (this.uplot.width !== this.width) this.uplot.setSize({ width: this.width, height: this.options.height ?? 240 });
      this.uplot.setData(data);
      return;
    }
    this.shape = shape;
    this.uplot?.destroy();
    this.uplot = new uPlot(this.description(), data, this.plot);
    this.describe();
  }

  description() {
    const options = this.options;
    const label = (index, size) => options.labels?.[index] ? { label: options.labels[index], labelFont: "12px system-ui, sans-serif", labelSize: size, labelGap: 0 } : {};
    const axis = { stroke: css("--soft"), grid: { stroke: css("--grid"), width: 1 }, ticks: { stroke: css("--edge"), width: 1, size: 5 }, font: "12px system-ui, sans-serif" };
    const values = (u, splits) => splits.map(value => value === null ? "" : options.percent ? `${significant(100 * value)} %` : significant(value));
    const right = this.series.some(one => one.right);
    const bands = this.columns.flatMap(({ one }, index) => one.upper && this.columns[index + 1]?.one === one
      ? [{ series: [index + 1, index + 2], fill: `${one.colour}33` }] : []);
    const drag = { x: Boolean(options.zoom) || !options.sync, y: false, setScale: !options.zoom };
    const cursor = {
      drag,
      y: false,
      points: { size: 7 },
      dataIdx: (u, index, at) => nearest(u.data[index], at),
      sync: options.sync ? { key: options.sync, setSeries: false, scales: ["x", null] } : undefined,
    };
    if (options.zoom) {
      cursor.bind = { dblclick: () => () => { options.zoom(null, null); return null; } };
    }
    return {
      width: this.width,
      height: options.height ?? 240,
      legend: { show: false },
      cursor,
      scales: {
        x: { time: false, distr: options.logX ? 3 : 1, range: (u, min, max) => range(options, min, max) },
        y: { distr: options.log ? 3 : 1, ...(options.rangeY ? { range: () => options.rangeY } : {}) },
        ...(right ? { right: { distr: options.logRight ? 3 : 1 } } : {}),
      },
      axes: [
        { ...axis, ...label(0, 18), size: 32, space: 60, values: (u, splits) => splits.map(value => value === null ? "" : significant(value)) },
        { ...axis, ...label(1, 18), size: 58, space: 32, values },
        ...(right ? [{ ...axis, ...label(2, 18), scale: "right", side: 1, size: 52, space: 32, grid: { show: false }, values: (u, splits) => splits.map(value => value === null ? "" : significant(value)) }] : []),
      ],
      bands,
      series: [{}, ...this.columns.map(({ one }) => ({
        scale: one.right ? "right" : "y",
        stroke: one.upper ? "transparent" : one.faint ? `${one.colour}55` : one.colour,
        width: one.upper ? 0 : one.faint ? 1 : 2,
        dash: one.dash,
        points: one.points ? { show: true, size: 6, fill: one.colour, width: 0 } : { show: false },
        paths: one.points === "only" ? () => null : undefined,
      }))],
      hooks: {
        drawClear: [u => this.drawMarks(u, true)],
        draw: [u => this.drawMarks(u, false)],
        setCursor: [u => this.showValues(u)],
        setSelect: options.zoom ? [u => this.selected(u)] : [],
      },
    };
  }

  selected(u) {
    if (u.select.width < 4) return;
    const [min, max] = [u.posToVal(u.select.left, "x"), u.posToVal(u.select.left + u.select.width, "x")];
    u.setSelect({ left: 0, width: 0, top: 0, height: 0 }, false);
    this.options.zoom(min, max);
  }

  // The current phase below everything else; named vertical lines and the present above.
  drawMarks(u, below) {
    const { ctx } = u;
    const { left, top, width, height } = u.bbox;
    const at = x => Math.round(u.valToPos(x, "x", true));
    const inside = x => x >= left && x <= left + width;
    ctx.save();
    const marks = this.options.marks?.() ?? [];
    const now = this.options.present?.();
    marks.forEach((mark, index) => {
      const [from, to] = [Math.max(at(mark.x), left), Math.min(index + 1 < marks.length ? at(marks[index + 1].x) : left + width, left + width)];
      if (below) {
        ctx.fillStyle = theme.matches ? "rgba(74,168,224,.13)" : "rgba(0,114,178,.08)";
        if (mark.current && to > from) ctx.fillRect(from, top, to - from, height);
        return;
      }
      ctx.fillStyle = css(mark.current ? "--ink" : "--soft");
      ctx.strokeStyle = css("--edge");
      ctx.lineWidth = devicePixelRatio;
      if (inside(at(mark.x)) && index > 0) line(ctx, at(mark.x), top, height);
      ctx.font = `${mark.current ? 600 : 400} ${11 * devicePixelRatio}px system-ui, sans-serif`;
      ctx.textBaseline = "top";
      if (mark.label && ctx.measureText(mark.label).width + 6 * devicePixelRatio < to - from) {
        ctx.fillText(mark.label, from + 4 * devicePixelRatio, top + 2 * devicePixelRatio);
      }
    });
    if (!below && now !== null && now !== undefined && inside(at(now))) {
      ctx.strokeStyle = css("--soft");
      ctx.lineWidth = devicePixelRatio;
      ctx.setLineDash([3 * devicePixelRatio, 3 * devicePixelRatio]);
      line(ctx, at(now), top, height);
    }
    ctx.restore();
  }

  // The legend, with room for the values at the cursor.
  describe() {
    this.values = [];
    const items = this.series.map(one => {
      const kind = one.points === "only" ? "points" : one.dash?.length ? (one.dash[0] < 4 ? "dotted" : "dashed") : "";
      const swatch = node("span", { class: `swatch ${one.upper ? "area" : kind}` });
      swatch.style.setProperty("--colour", one.colour);
      const value = node("span", { class: "value" });
      this.values.push(value);
      const item = node("li", {}, swatch, node("span", { class: "text" }, one.name), value);
      item.hidden = Boolean(one.faint) && one.name === "";
      return item;
    });
    this.legend.replaceChildren(...items);
  }

  showValues(u) {
    this.series.forEach((one, number) => {
      const index = this.columns.findLastIndex(column => column.one === one);
      const at = u.cursor.left >= 0 ? u.cursor.idxs[index + 1] : null;
      const value = at === null || at === undefined ? null : u.data[index + 1][at];
      const text = value === null || value === undefined ? "" : this.options.percent ? `${(100 * value).toFixed(2)} %` : significant(value);
      if (this.values[number].textContent !== text) this.values[number].textContent = text;
    });
  }
}

function line(ctx, x, top, height) {
  ctx.beginPath();
  ctx.moveTo(x, top);
  ctx.lineTo(x, top + height);
  ctx.stroke();
}

// The ends of the horizontal axis. uPlot divides a logarithmic one only if it begins at a round number; data
// may miss one by rounding.
function range(options, min, max) {
  const [from, to] = options.range?.() ?? [min, max];
  if (options.logX) return uPlot.rangeLog(Number(from.toPrecision(6)), Number(to.toPrecision(6)), 10, false);
  return from === to ? [from - 1, to + 1] : [from, to];
}

// The index next to `at` with a value: series of other runs have points at other places.
function nearest(values, at) {
  for (let distance = 0; distance < 2000; distance++) {
    for (const index of [at - distance, at + distance]) {
      if (values[index] !== null && values[index] !== undefined) return index;
    }
    if (at - distance < 0 && at + distance >= values.length) break;
  }
  return null;
}
