// The figures of the evaluation as SVG, in the colours of the theme. They are drawn at the width of
// the page, and again when it changes, so that their text stays readable on a phone.

import { el } from "./dom.js";
import { formatPercent } from "./state.js";

const PLOT_HEIGHT = 250;
const MARGIN = { left: 44, right: 12, top: 10, bottom: 40 };
const TICK_PIXELS = 70; // between the ticks of the x axis, at least
const LETTER_PIXELS = 7; // of a label, on average
const MAX_LABEL_PIXELS = 150;
const MAX_LABEL_PART = 0.33; // of the width of the page
const MIN_LABEL_PIXELS = 11; // of a cell, for a label of each row
const NUMBER_PIXELS = 24; // of a cell with a number
const MAX_CELL_PIXELS = 34;
const MAX_FITTED_CELL_PIXELS = 28;
const MIN_OPACITY = 0.3; // of a cell that is not empty
const STRONG = 0.3; // a fraction whose cell needs a white number
const ZOOM_STEP = 1.5;

// Draw curves. `series`: { name, class, points: [[x, y], ...] }; `band`: [[x, low, high], ...].
export function plot(title, { series, xLabel, yTicks = [], yMax = null, band = [] }) {
  const points = series.flatMap((each) => each.points);
  const [xs, ys] = [points.map(([x]) => x), points.map(([, y]) => y)];
  const x = { min: Math.min(...xs), max: Math.max(...xs) };
  const y = { min: 0, max: yMax ?? (Math.max(...ys) || 1) };
  const draw = (width) => {
    const [right, bottom] = [width - MARGIN.right, PLOT_HEIGHT - MARGIN.bottom];
    const scaleX = (value) => MARGIN.left + ((value - x.min) / (x.max - x.min || 1)) * (right - MARGIN.left);
    const scaleY = (value) => bottom - (value / y.max) * (bottom - MARGIN.top);
    const path = (line) => `M${line.map(([a, b]) => `${scaleX(a).toFixed(1)},${scaleY(b).toFixed(1)}`).join("L")}`;
    const ends = band.map(([a, low]) => [a, low]).concat(band.map(([a, , high]) => [a, high]).reverse());
    return el("svg", { width, height: PLOT_HEIGHT, role: "img", "aria-label": title },
      ...yTicks.flatMap((value) => [
        el("line", { class: "grid", x1: MARGIN.left, x2: right, y1: scaleY(value), y2: scaleY(value) }),
        el("text", { x: MARGIN.left - 8, y: scaleY(value) + 4, class: "end" }, String(value))]),
      el("line", { class: "axis", x1: MARGIN.left, x2: right, y1: bottom, y2: bottom }),
      ...ticks(x.min, x.max, Math.floor((right - MARGIN.left) / TICK_PIXELS)).map((value) =>
        el("text", { x: scaleX(value), y: bottom + 17, class: "middle" }, String(value))),
      el("text", { x: (MARGIN.left + right) / 2, y: bottom + 35, class: "middle" }, xLabel),
      ...(band.length ? [el("path", { class: "band", d: `${path(ends)}Z` })] : []),
      ...series.map((each) => el("path", { class: `curve ${each.class}`, d: path(each.points) })));
  };
  const legend = el("ul", { class: "legend" }, ...series.map((each) => el("li", {}, el("svg", { width: 28, height: 10,
    "aria-hidden": "true" }, el("path", { class: `curve ${each.class}`, d: "M0,5L28,5" })), ` ${each.name}`)));
  return el("figure", {}, el("figcaption", {}, title), legend, atWidth(draw));
}

// Draw a histogram: the densities of `series` between the edges of its bins.
export function histogram(title, { edges, series, xLabel }) {
  const steps = (densities) => densities.flatMap((density, i) => [[edges[i], density], [edges[i + 1], density]]);
  return plot(title, { xLabel, series: series.map(({ densities, ...each }) => ({ ...each, points: steps(densities) })) });
}

// Return an element with what `draw` returns for its width in pixels.
function atWidth(draw) {
  const element = el("div", {});
  let drawn = 0;
  new ResizeObserver(() => {
    const width = Math.floor(element.clientWidth);
    if (!width || width === drawn) return;
    drawn = width;
    element.replaceChildren(draw(width));
  }).observe(element);
  return element;
}

// At most `number` round values between two numbers.
function ticks(min, max, number) {
  const rough = (max - min) / Math.max(number, 1) || 1;
  const power = 10 ** Math.floor(Math.log10(rough));
  const step = [1, 2, 5, 10].map((factor) => factor * power).find((each) => each >= rough);
  const first = Math.ceil(min / step);
  return Array.from({ length: Math.max(Math.floor(max / step) - first + 1, 0) }, (_, i) =>
    Number(((first + i) * step).toPrecision(6)));
}

// Draw a confusion matrix that zooms. `cells`: [row, column, count], those that are not 0.
export function confusionMatrix(title, { breeds, cells }) {
  const totals = breeds.map(() => 0);
  for (const [row, , count] of cells) totals[row] += count;
  const region = el("div", { class: "scroll matrix", tabindex: "0", role: "region", "aria-label": title });
  const button = (text, label, factor) => el("button", { type: "button", "aria-label": label, onclick: () => zoom(factor) }, text);
  const longest = Math.max(...breeds.map(({ length }) => length)) * LETTER_PIXELS + 10;
  const labelPixels = () => Math.min(longest, MAX_LABEL_PIXELS, MAX_LABEL_PART * region.clientWidth);
  let [cell, fitted] = [0, 0];
  const draw = () => region.replaceChildren(...matrix(breeds, cells, totals, cell, labelPixels()));
  const zoom = (factor) => {
    const before = cell;
    cell = Math.min(Math.max(cell * factor, fitted), Math.max(MAX_CELL_PIXELS, fitted));
    const place = (scroll, size) => ((scroll + size / 2) * cell) / before - size / 2; // the centre stays
    const [left, top] = [place(region.scrollLeft, region.clientWidth), place(region.scrollTop, region.clientHeight)];
    draw();
    region.scrollTo(left, top);
  };
  new ResizeObserver(() => {
    const available = (region.clientWidth - labelPixels() - 4) / breeds.length;
    const size = Math.min(Math.max(available, 2), MAX_FITTED_CELL_PIXELS);
    if (!region.clientWidth || Math.abs(size - fitted) < 0.05) return;
    cell = cell > fitted ? Math.max(cell, size) : size; // a zoomed matrix stays so
    fitted = size;
    draw();
  }).observe(region);
  region.addEventListener("keydown", ({ key }) => {
    if (key === "+" || key === "=") zoom(ZOOM_STEP);
    if (key === "-") zoom(1 / ZOOM_STEP);
  });
  return el("figure", { class: "wide" }, el("figcaption", {}, title),
    el("p", { class: "bar" }, button("+", "Zoom in", ZOOM_STEP), button("−", "Zoom out", 1 / ZOOM_STEP),
      el("span", { class: "hint" }, "Row: the breed. Column: the breed that won the vote. Errors are orange.")), region);
}

// The names of the rows and columns, which stay in view, and the cells.
function matrix(breeds, cells, totals, cell, labelPixels) {
  const side = cell * breeds.length;
  const every = Math.ceil(MIN_LABEL_PIXELS / cell);
  const letters = Math.floor((labelPixels - 10) / LETTER_PIXELS);
  const labels = breeds.map((breed, i) => [breed.length > letters ? `${breed.slice(0, letters - 1)}…` : breed,
    (i + 0.5) * cell + 4]).filter((_, i) => i % every === 0);
  const svg = (name, width, height, ...children) =>
    el("svg", { class: name, width, height, "aria-hidden": "true" }, ...children);
  return [svg("corner", labelPixels, labelPixels),
    svg("columns", side, labelPixels, ...labels.map(([label, at]) =>
      el("text", { transform: `translate(${at} ${labelPixels - 5}) rotate(-90)` }, label))),
    svg("rows", labelPixels, side, ...labels.map(([label, at]) => el("text", { x: labelPixels - 5, y: at, class: "end" }, label))),
    svg("cells", side, side, el("rect", { class: "empty", width: side, height: side }),
      ...cells.flatMap((each) => cellElements(each, breeds, totals, cell)))];
}

function cellElements([row, column, count], breeds, totals, cell) {
  const fraction = count / totals[row];
  const [x, y] = [column * cell, row * cell];
  const text = `${count} of ${totals[row]} ${breeds[row]} → ${breeds[column]}`;
  const filled = el("rect", { x, y, width: cell, height: cell, class: row === column ? "together" : "apart",
    "fill-opacity": Math.max(Math.sqrt(fraction), MIN_OPACITY).toFixed(2) }, el("title", {}, text));
  return cell < NUMBER_PIXELS || fraction < 0.005 ? [filled]
    : [filled, el("text", { x: x + cell / 2, y: y + cell / 2 + 4, class: `middle number${fraction > STRONG ? " strong" : ""}` },
      String(Math.round(100 * fraction)))];
}

export const percentBar = (fraction) => el("span", {},
  el("meter", { min: 0, max: 1, value: fraction, "aria-hidden": "true" }), formatPercent(fraction));
