// Explanations: what two images have in common, as heat maps over both.

import { data } from "./data.js";
import { el, imageFrame } from "./dom.js";
import { $, shared } from "./state.js";

const HOVER_MILLISECONDS = 350; // before the map of a neighbour is fetched

export const canExplain = (metric) => shared.dataset.explained.includes(metric) && shared.status.network === "ready";

export function explainOnHover(element, state, neighbour) {
  const frames = () => [$("query-image"), element].map((parent) => parent.querySelector(".frame"));
  let timer = 0;
  let abort = null;
  const show = async () => {
    if (!canExplain(state.metric)) return;
    abort = new AbortController();
    try {
      const why = await data.explanation(state, neighbour.row, abort.signal);
      if (abort.signal.aborted) return;
      const [queryFrame, otherFrame] = frames();
      addLayer(queryFrame, why.query.box).append(heatMap(why.query.likeness, 1));
      addLayer(otherFrame, why.other.box).append(heatMap(why.other.likeness, 1));
    } catch { /* the button "Why?" shows the error */ }
  };
  const start = () => {
    clearTimeout(timer);
    timer = setTimeout(show, HOVER_MILLISECONDS);
  };
  const stop = () => {
    clearTimeout(timer);
    abort?.abort();
    frames().forEach(removeLayer);
  };
  element.addEventListener("pointerenter", (event) => { if (event.pointerType === "mouse") start(); });
  element.addEventListener("pointerleave", stop);
  element.addEventListener("focusin", () => { if (element.querySelector(":focus-visible")) start(); });
  element.addEventListener("focusout", stop);
}

// Add a layer over the region of an image that the network receives. The image is centred in its frame.
function addLayer(frame, [left, top, right, bottom]) {
  removeLayer(frame);
  const image = frame.querySelector("img");
  const ratio = image?.naturalWidth ? image.naturalWidth / image.naturalHeight : 1;
  const [width, height] = ratio > 1 ? [1, 1 / ratio] : [ratio, 1];
  const layer = el("div", { class: "map" });
  const setStyle = (property, fraction) => { layer.style[property] = `${100 * fraction}%`; };
  setStyle("left", (1 - width) / 2 + left * width);
  setStyle("top", (1 - height) / 2 + top * height);
  setStyle("width", (right - left) * width);
  setStyle("height", (bottom - top) * height);
  frame.append(layer);
  return layer;
}

const removeLayer = (frame) => frame?.querySelector(".map")?.remove();
const largest = (numbers) => Math.max(...numbers.map(Math.abs)) || 1;

// Draw numbers as colours. With `sign` 1, numbers above 0 are likeness; with -1, distance.
function heatMap(rows, sign, maximum = largest(rows.flat())) {
  const svg = el("svg", { viewBox: "0 0 1 1", preserveAspectRatio: "none", "aria-hidden": "true" });
  const [height, width] = [1 / rows.length, 1 / rows[0].length];
  rows.forEach((row, i) => row.forEach((value, j) => {
    const strength = (sign * value) / maximum; // -1 to 1
    const position = { x: j * width, y: i * height, width, height };
    svg.append(el("rect", { ...position, class: strength > 0 ? "together" : "apart",
      "fill-opacity": (0.75 * Math.sqrt(Math.abs(strength))).toFixed(3) }));
    if (strength < -0.25) svg.append(el("rect", { ...position, fill: "url(#hatch)" }));
  }));
  return svg;
}

const emptyMap = ([height, width]) => heatMap(Array.from({ length: height }, () => Array(width).fill(0)), 1);

function outlinePlace(layer, [height, width], row, column) {
  const position = { x: column / width, y: row / height, width: 1 / width, height: 1 / height };
  layer.querySelector("svg").append(el("rect", { ...position, class: "pointed" }),
    el("rect", { ...position, class: "pointed inner" }));
}

export async function openExplanation(state, neighbour) {
  const dialog = $("why");
  $("why-title").textContent = `Why is this ${neighbour.breed} near?`;
  $("why-caption").textContent = "";
  $("match").textContent = "Comparing the two images; the first time takes some seconds …";
  const queryName = state.row === null ? "Your photo" : "The query image";
  const frames = [["why-query", data.queryImageUrl(state, 640), queryName],
    ["why-other", data.imageUrl(neighbour.row, 640), neighbour.breed]].map(([id, url, name]) => {
    const frame = imageFrame(url, name);
    $(id).replaceChildren(frame, el("figcaption", {}, name));
    return frame;
  });
  dialog.showModal();
  try {
    const [why] = await Promise.all([data.explanation(state, neighbour.row),
      ...frames.map((frame) => frame.querySelector("img")?.decode().catch(() => null))]);
    if (!dialog.open) return;
    const layers = [why.query, why.other].map(({ box }, side) => addLayer(frames[side], box));
    dialog.drawing = { why, layers };
    if (why.pairs) layers.forEach((layer, side) => makeInteractive(layer, side, dialog.drawing));
    drawExplanation();
  } catch (error) {
    $("match").textContent = error.message;
  }
}

$("why").addEventListener("close", () => { $("why").drawing = null; });
$("maps").addEventListener("change", () => drawExplanation());

const HINT = "Point to a place of either image, or move with the arrow keys, to see its best match.";

// Draw the selected map over both images.
function drawExplanation() {
  if (!$("why").drawing) return;
  const { why, layers } = $("why").drawing;
  const kind = document.querySelector("#maps input:checked").value;
  const maps = [why.query, why.other].map((side) => (kind === "parts" ? side.parts : side.likeness));
  const maximum = largest(maps.flat(2));
  layers.forEach((layer, side) => {
    layer.parentNode.classList.toggle("grey", kind !== "pairs");
    layer.replaceChildren(kind === "pairs" ? emptyMap(why.shape)
      : heatMap(maps[side], kind === "parts" ? -1 : 1, maximum));
  });
  if (kind === "pairs") why.best_pairs.forEach((pair, i) => addBadges(layers, why.shape, pair, i + 1));
  $("why-caption").textContent = why.captions[{ pairs: 0, likeness: 1, parts: 2 }[kind]];
  $("match").textContent = why.pairs ? HINT : "";
}

// Number a pair of places on both images.
function addBadges(layers, [height, width], [row, column, otherRow, otherColumn], number) {
  [[row, column], [otherRow, otherColumn]].forEach(([i, j], side) => {
    const badge = el("span", { class: "badge" }, String(number));
    badge.style.left = `${(100 * (j + 0.5)) / width}%`;
    badge.style.top = `${(100 * (i + 0.5)) / height}%`;
    layers[side].append(badge);
  });
}

// Show the best match of the place under the pointer, or of the place chosen by the arrow keys.
function makeInteractive(layer, side, drawing) {
  const [height, width] = drawing.why.shape;
  const name = side ? "the neighbour" : "your photo";
  let place = [Math.floor(height / 2), Math.floor(width / 2)];
  const steps = { ArrowUp: [-1, 0], ArrowDown: [1, 0], ArrowLeft: [0, -1], ArrowRight: [0, 1] };
  layer.setAttribute("tabindex", "0");
  layer.setAttribute("role", "application");
  layer.setAttribute("aria-label", `Places of ${name}; choose one with the arrow keys`);
  const select = (row, column) => {
    const clamp = (value, size) => Math.min(Math.max(value, 0), size - 1);
    place = [clamp(row, height), clamp(column, width)];
    showBestMatch(drawing, side, place);
  };
  layer.addEventListener("pointermove", (event) => {
    const box = layer.getBoundingClientRect();
    select(Math.floor(((event.clientY - box.top) / box.height) * height),
      Math.floor(((event.clientX - box.left) / box.width) * width));
  });
  layer.addEventListener("keydown", (event) => {
    const step = steps[event.key];
    if (!step) return;
    event.preventDefault();
    select(place[0] + step[0], place[1] + step[1]);
  });
  layer.addEventListener("focus", () => { if (layer.matches(":focus-visible")) select(...place); });
  for (const type of ["pointerleave", "blur"]) layer.addEventListener(type, drawExplanation);
}

function showBestMatch({ why, layers }, side, [row, column]) {
  const [height, width] = why.shape;
  const place = row * width + column;
  const matches = side ? why.pairs.map((pairs) => pairs[place]) : why.pairs[place];
  const best = matches.indexOf(Math.max(...matches));
  const [bestRow, bestColumn] = [Math.floor(best / width), best % width];
  const rows = Array.from({ length: height }, (_, i) => matches.slice(i * width, (i + 1) * width));
  layers.forEach((layer, i) => {
    layer.parentNode.classList.toggle("grey", i !== side);
    layer.replaceChildren(i === side ? emptyMap(why.shape) : heatMap(rows, 1));
  });
  outlinePlace(layers[side], why.shape, row, column);
  outlinePlace(layers[1 - side], why.shape, bestRow, bestColumn);
  $("match").textContent = `Row ${row + 1}, column ${column + 1} has its best match in row ${bestRow + 1}, `
    + `column ${bestColumn + 1} of the other image.`;
}
