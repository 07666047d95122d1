// Draws the page's charts, and lets the reader play with the effect. No library, no network.
"use strict";

const SVG = "http://www.w3.org/2000/svg";
const data = JSON.parse(document.getElementById("data").textContent);

function element(parent, name, attributes = {}, text = "") {
  const svg = parent.namespaceURI === SVG || name === "svg";
  const made = svg ? document.createElementNS(SVG, name) : document.createElement(name);
  for (const [key, value] of Object.entries(attributes)) made.setAttribute(key, value);
  if (text !== "") made.textContent = text;
  parent.append(made);
  return made;
}

function plain(value) {
  if (value === 0) return "0";
  const digits = Math.max(0, 2 - Math.floor(Math.log10(Math.abs(value))));
  const rounded = Number(value.toFixed(Math.min(digits, 12)));
  return rounded.toLocaleString("en", { maximumFractionDigits: 12 });
}

// Where an axis from low to high has its numbers.
function ticks(low, high, log) {
  if (log && high / low > 8) {
    const factors = high / low > 300 ? [1] : [1, 2, 5];
    const found = [];
    for (let k = Math.floor(Math.log10(low)); k <= Math.log10(high); k++) {
      for (const factor of factors) found.push(factor * 10 ** k);
    }
    const inside = found.filter((v) => v >= low * 0.999 && v <= high * 1.001);
    return inside.filter((_, i) => i % Math.ceil(inside.length / 6) === 0);
  }
  const raw = (high - low || 1) / 4;
  const power = 10 ** Math.floor(Math.log10(raw));
  const step = power * [1, 2, 5, 10].find((factor) => factor * power >= raw * 0.7);
  const found = [];
  for (let k = Math.ceil(low / step - 1e-9); k * step <= high + step * 1e-9; k++) found.push(k * step);
  return found;
}

// From values to pixels.
function scale([low, high], [first, last], log) {
  const at = log ? Math.log : (v) => v;
  const span = at(high) - at(low) || 1;
  return (value) => first + ((at(value) - at(low)) / span) * (last - first);
}

function extent(values, log, least, most) {
  const usable = values.filter((v) => v !== null && Number.isFinite(v) && (!log || v > 0));
  if (!usable.length) return [log ? 0.1 : 0, 1];
  let low = usable.reduce((a, b) => Math.min(a, b));
  let high = usable.reduce((a, b) => Math.max(a, b));
  if (log) return low === high ? [low / 2, high * 2] : [low, high];
  low = least ?? low;
  high = most ?? high;
  return low === high ? [low - 0.5, high + 0.5] : [low, high];
}

// The frame of a chart: its axes with numbers and units. Returns where things are.
function frame(holder, spec, xs, ys) {
  holder.querySelector("svg")?.remove();
  const width = Math.max(260, holder.clientWidth);
  const height = spec.height ?? 230;
  const area = { left: 58, right: width - 12, top: 12, bottom: height - 44 };
  const svg = element(holder, "svg", { viewBox: `0 0 ${width} ${height}`, width, height, role: "img" });
  svg.setAttribute("aria-label", holder.querySelector("figcaption")?.textContent ?? "");
  const x = scale(xs, [area.left, area.right], spec.logX);
  const y = scale(ys, [area.bottom, area.top], spec.log);
  for (const value of spec.ticksY ?? ticks(...ys, spec.log)) {
    element(svg, "line", { class: "grid", x1: area.left, x2: area.right, y1: y(value), y2: y(value) });
    element(svg, "text", { class: "tick", x: area.left - 7, y: y(value) + 4, "text-anchor": "end" }, plain(value));
  }
  for (const value of spec.ticksX ?? ticks(...xs, spec.logX)) {
    const attributes = { class: "tick", x: x(value), y: area.bottom + 17, "text-anchor": "middle" };
    element(svg, "text", attributes, spec.nameX ? spec.nameX(value) : plain(value));
  }
  element(svg, "line", { class: "axis", x1: area.left, x2: area.right, y1: area.bottom, y2: area.bottom });
  const middle = (area.left + area.right) / 2;
  element(svg, "text", { class: "unit", x: middle, y: height - 6, "text-anchor": "middle" }, spec.x);
  const turned = `rotate(-90) translate(${-(area.top + area.bottom) / 2} 12)`;
  element(svg, "text", { class: "unit", transform: turned, "text-anchor": "middle" }, spec.y);
  return { svg, x, y, area };
}

function path(points) {
  return points.map(([x, y], i) => `${i ? "L" : "M"}${x.toFixed(1)} ${y.toFixed(1)}`).join("");
}

function lineStyle(series) {
  const opacity = series.pale ?? 0.68 ** (series.before ?? 0);
  return { class: `line m-${series.metric}`, "stroke-dasharray": (series.dashes ?? []).join(" "), "stroke-opacity": opacity };
}

// Lines over x, with bands from low to high where there are any, and the values under the pointer.
function drawLines(holder, spec) {
  const all = spec.series;
  const xs = extent(all.flatMap((s) => s.x), spec.logX);
  const ys = extent(all.flatMap((s) => [...s.y, ...(s.low ?? []), ...(s.high ?? [])]), spec.log, spec.least, spec.most);
  const { svg, x, y, area } = frame(holder, spec, xs, ys);
  const usable = (v) => v !== null && (!spec.log || v > 0);
  for (const series of all) {
    const at = (values) => series.x.map((v, i) => [x(v), values[i]]).filter(([, v]) => usable(v)).map(([a, v]) => [a, y(v)]);
    if (series.low) {
      const outline = [...at(series.high), ...at(series.low).reverse()];
      if (outline.length) element(svg, "path", { class: `band m-${series.metric}`, d: `${path(outline)}Z` });
    }
    const points = at(series.y);
    element(svg, "path", { ...lineStyle(series), d: path(points) });
    if (series.marks || points.length === 1) {
      for (const [cx, cy] of points) element(svg, "circle", { class: `dot m-${series.metric}`, cx, cy, r: 3 });
    }
  }
  follow(holder, svg, spec, x, area);
}

// A line under the pointer, and the values there.
function follow(holder, svg, spec, x, area) {
  const told = holder.querySelector(".told") ?? element(holder, "div", { class: "told" });
  told.textContent = " ";
  const ruler = element(svg, "line", { class: "ruler", y1: area.top, y2: area.bottom, visibility: "hidden" });
  svg.addEventListener("pointermove", (event) => {
    const pixel = event.clientX - svg.getBoundingClientRect().left;
    const near = (xs) => xs.reduce((best, v, i) => (Math.abs(x(v) - pixel) < Math.abs(x(xs[best]) - pixel) ? i : best), 0);
    const longest = spec.series.reduce((a, b) => (b.x.length > a.x.length ? b : a));
    const at = longest.x[near(longest.x)];
    ruler.setAttribute("x1", x(at));
    ruler.setAttribute("x2", x(at));
    ruler.setAttribute("visibility", "visible");
    const values = spec.series.filter((s) => s.label && s.x.length).map((s) => {
      const value = s.y[near(s.x)];
      return `${s.label} ${value === null ? "-" : plain(value)}`;
    });
    told.textContent = `${spec.x.split(",")[0]} ${plain(at)}: ${values.join("; ")}`;
  });
  svg.addEventListener("pointerleave", () => {
    ruler.setAttribute("visibility", "hidden");
    told.textContent = " ";
  });
}

// One bar for each value; `marked` is drawn in another pattern and named below.
function drawBars(holder, spec) {
  const n = spec.values.length;
  const { svg, x, y, area } = frame(holder, spec, [-0.5, n - 0.5], [0, spec.most]);
  const wide = ((area.right - area.left) / n) * 0.78;
  spec.values.forEach((value, i) => {
    const top = y(value);
    const attributes = { x: x(i) - wide / 2, width: wide, y: top, height: Math.max(0, area.bottom - top) };
    element(svg, "rect", { class: spec.classOf(i), ...attributes });
  });
  if (spec.rule !== undefined) {
    element(svg, "line", { class: "rule", x1: x(spec.rule), x2: x(spec.rule), y1: area.top, y2: area.bottom });
    element(svg, "text", { class: "unit", x: x(spec.rule) - 5, y: area.top + 10, "text-anchor": "end" }, spec.ruleText);
  }
}

function drawCharts() {
  for (const holder of document.querySelectorAll("[data-chart]")) drawLines(holder, data.charts[holder.dataset.chart]);
}

// The sliders: a threshold is 0, or from 0.01 to 1000; a slope from 0.001 to 1; both by powers of ten.
const thresholdAt = (position) => (position <= 0 ? 0 : 10 ** (position / 20 - 2));
const slopeAt = (position) => 10 ** (position / 20 - 3);
const positionOfThreshold = (t) => (t <= 0 ? 0 : Math.max(1, Math.min(100, 20 * (Math.log10(t) + 2))));
const positionOfSlope = (s) => Math.max(0, Math.min(60, 20 * (Math.log10(s) + 3)));
const LOWEST = -9;

function effect(played) {
  const control = (name) => document.getElementById(`effect-${name}`);
  const own = played.own;
  if (own.table) FORMULAS.own = tabulated(own.table);
  const start = { threshold: own.threshold ?? Infinity, slope: own.slope }; // JSON has no infinity
  const exact = { ...start }; // a slider's position rounds them

  function reset() {
    control("formula").value = own.formula;
    Object.assign(exact, start);
    control("threshold").value = positionOfThreshold(start.threshold);
    control("slope").value = positionOfSlope(start.slope);
    show();
  }

  function figures(shown, baseline) {
    const percent = (v) => `${(100 * v).toFixed(1)} %`;
    const rows = {
      vanished: percent, distance: plain, certainty: percent, length: plain, loss: plain, accuracy: percent,
    };
    for (const [name, words] of Object.entries(rows)) {
      control(`${name}`).textContent = words(shown[name]);
      control(`${name}-squared`).textContent = words(baseline[name]);
    }
  }

  function parameters(formula) {
    const positive = formula === "log" || formula === "root"; // their parameter is above 0
    const values = { threshold: positive ? Math.max(0.01, exact.threshold) : exact.threshold, slope: exact.slope };
    const takes = { leaky: ["threshold", "slope"], log: ["threshold"], root: ["threshold"] }[formula] ?? [];
    for (const [name, value] of Object.entries(values)) {
      control(name).disabled = !takes.includes(name);
      control(`${name}-shown`).textContent = takes.includes(name) ? plain(value) : "not used";
    }
    control("threshold-name").textContent = formula === "log" ? "scale" : "threshold t";
    return [values.threshold, values.slope];
  }

  function probabilities(formula, one, label) {
    const n = one.probabilities.length;
    const step = Math.ceil(n / 10);
    drawBars(control("probabilities"), {
      values: one.probabilities, most: 1, x: "class; filled: the query's own", y: "probability", height: 210,
      ticksX: Array.from({ length: Math.ceil(n / step) }, (_, i) => i * step), nameX: (v) => String(v + 1),
      classOf: (i) => (i === label ? `bar m-${formula}` : "bar other"),
    });
  }

  function sizes(formula, gradients) {
    const vanished = Math.log10(VANISHED) - LOWEST; // so many bins
    drawBars(control("gradients"), {
      values: byDecade(gradients, LOWEST).map((n) => (100 * n) / gradients.length), most: 100, height: 210,
      x: "size of an entry of dL/dd", y: "% of the entries",
      ticksX: [-0.5, 2.5, 5.5, 8.5], nameX: (v) => ["0", "0.000001", "0.001", "1"][Math.round((v + 0.5) / 3)],
      classOf: (i) => (i < vanished ? "bar other" : `bar m-${formula}`), rule: vanished - 0.5, ruleText: "vanished",
    });
  }

  function curve(formula, t, s, most) {
    const xs = Array.from({ length: 121 }, (_, i) => (most * i) / 120);
    const line = (name) => xs.map((d) => FORMULAS[name].value(d, t, s));
    drawLines(control("curve"), {
      x: "squared distance d", y: "what the softmax takes", least: 0, height: 210,
      series: [
        { label: "squared", metric: "squared-euclidean", x: xs, y: line("squared-euclidean"), dashes: [1.3, 3] },
        { label: formula, metric: formula, x: xs, y: line(formula) },
      ],
    });
  }

  function show() {
    const net = played.nets[Number(control("net").value)];
    const formula = control("formula").value;
    const [t, s] = parameters(formula);
    const shown = episode(net, played.labels, formula, t, s);
    figures(shown, episode(net, played.labels, "squared-euclidean", 0, 1));
    const number = Math.min(Number(control("query").value), net.squared.length - 1);
    const label = played.labels[number];
    control("query-shown").textContent = `${number + 1} of ${net.squared.length}, of class ${label + 1}`;
    probabilities(formula, shown.queries[number], label);
    sizes(formula, shown.gradients);
    curve(formula, t, s, net.squared.flat().reduce((a, b) => Math.max(a, b), 1));
  }

  control("query").max = played.nets[0].squared.length - 1;
  for (const name of ["formula", "net", "query"]) control(name).addEventListener("input", show);
  control("threshold").addEventListener("input", () => {
    exact.threshold = thresholdAt(Number(control("threshold").value));
    show();
  });
  control("slope").addEventListener("input", () => {
    exact.slope = slopeAt(Number(control("slope").value));
    show();
  });
  control("own").addEventListener("click", reset);
  reset();
  return show;
}

drawCharts();
const showEffect = data.effect ? effect(data.effect) : () => {};
let width = innerWidth;
addEventListener("resize", () => {
  if (innerWidth !== width) {
    width = innerWidth;
    drawCharts();
    showEffect();
  }
});
