// The page of dogsim. The URL holds the state of the page; `render` draws that state, and nothing
// else changes what is shown. Names of breeds and files are untrusted:
// they are inserted as text (`el`), never as markup.

import { data } from "./data.js";
import { counted, el, imageFrame } from "./dom.js";
import { showFindings } from "./findings.js";

const $ = (id) => document.getElementById(id);
const VIEWS = ["ask", "browse", "judging", "audit"];
const HOVER_MILLISECONDS = 350; // before the map of a neighbour is fetched
const SLIDER_MILLISECONDS = 120; // before a moved slider sends a request
const MAX_SLIDER_K = 50;
let dataset = null; // the breeds and limits: `data.dataset`
let status = {}; // of the network and the calibration: `data.status`
let latestRequest = 0; // older responses are ignored

// ---- Helpers

const sleep = (milliseconds) => new Promise((resolve) => setTimeout(resolve, milliseconds));
const formatPercent = (fraction) => `${(100 * fraction).toFixed(1)} %`;
const formatDistance = (distance) => distance.toPrecision(3);

// ---- The URL

function currentState() {
  const parameters = new URLSearchParams(location.search);
  const integer = (name) => (/^\d+$/.test(parameters.get(name) ?? "") ? Number(parameters.get(name)) : null);
  const [view, metric] = [parameters.get("view"), parameters.get("metric")];
  return {
    view: VIEWS.includes(view) ? view : "ask",
    row: integer("row"),
    query: parameters.get("query"),
    label: parameters.has("label") ? Number(parameters.get("label")) : null,
    k: Math.min(Math.max(integer("k") ?? 20, 1), dataset.most_k),
    metric: dataset.metrics.includes(metric) ? metric : dataset.metrics[0],
  };
}

function urlWith(changes) {
  const { k, metric } = currentState();
  const parameters = new URLSearchParams();
  for (const [name, value] of Object.entries({ k, metric, ...changes })) {
    if (value !== null && value !== undefined) parameters.set(name, value);
  }
  return `?${parameters}`;
}

function navigate(url, replace = false) {
  history[replace ? "replaceState" : "pushState"](null, "", url);
  render();
}

// A plain click on an internal link changes the state without reloading the page.
document.addEventListener("click", (event) => {
  const link = event.target.closest("a[href^='?']");
  const plain = !(event.ctrlKey || event.metaKey || event.shiftKey || event.altKey || event.button);
  if (!link || !plain) return;
  event.preventDefault();
  navigate(link.getAttribute("href"));
  scrollTo(0, 0);
  if (link.closest("main")) $("main").focus({ preventScroll: true });
});
addEventListener("popstate", () => render());

async function render() {
  const state = currentState();
  for (const view of VIEWS) $(view).hidden = view !== state.view;
  for (const link of document.querySelectorAll("nav a")) {
    if (link.dataset.view === state.view) link.setAttribute("aria-current", "page");
    else link.removeAttribute("aria-current");
  }
  if ($("why").open) $("why").close();
  const views = { ask: renderQuery, browse: renderBrowse, judging: renderEvaluation, audit: renderAudit };
  await views[state.view](state);
}

// ---- Images

function tile(item, { detail = "", rank = null, wrong = false, onWhy = null } = {}) {
  const link = el("a", { href: urlWith({ row: item.row }), title: item.path },
    imageFrame(data.imageUrl(item.row, 320), ""),
    el("div", { class: "text" }, el("span", { class: "name" }, item.breed),
      wrong ? el("span", { class: "visually-hidden" }, "(another breed)") : null,
      detail ? el("span", { class: "detail" }, detail) : null));
  const badge = rank && el("span", { class: "rank", "aria-hidden": "true" }, String(rank));
  const button = onWhy && el("button", { type: "button", onclick: onWhy,
    "aria-label": `Why is number ${rank}, ${item.breed}, near?` }, "Why?");
  return el("li", { class: `tile${wrong ? " wrong" : ""}` }, link, badge, button);
}

const fileTile = (item) => tile(item, { detail: item.path.split("/").pop() });

// ---- A query and its answer

async function renderQuery(state) {
  const hasQuery = state.row !== null || state.query !== null;
  document.body.classList.toggle("has-query", hasQuery);
  $("options").hidden = !hasQuery;
  $("query-image").hidden = !hasQuery;
  $("k").value = state.k;
  $("k-value").textContent = state.k;
  $("metric").value = state.metric;
  const request = ++latestRequest;
  try {
    if (!hasQuery) return renderStart();
    await renderAnswer(state, request);
  } catch (error) {
    if (request === latestRequest) renderError(error.message);
  }
}

function renderStart() {
  document.title = "dogsim";
  $("error").textContent = $("answer").textContent = "";
  const examples = dataset.breeds.filter((item) => item.label >= 0).slice(0, 12);
  $("results-title").textContent = "Or start with one of these";
  $("neighbours").replaceChildren(...examples.map((item) => tile(item)));
}

async function renderAnswer(state, request) {
  const url = data.queryImageUrl(state, 640);
  if ($("query-image").dataset.url !== url) {
    $("query-image").dataset.url = url;
    $("query-image").replaceChildren(imageFrame(url, "The query image"));
    $("answer").replaceChildren(el("p", {}, "Searching …"));
  }
  const answer = await data.answer(state);
  if (request !== latestRequest) return;
  $("error").textContent = "";
  document.title = `${answer.words} – dogsim`;
  $("answer").replaceChildren(...answerElements(answer));
  $("results-title").textContent = "The nearest images";
  const trueLabel = answer.row ? answer.row.label : null;
  $("neighbours").replaceChildren(...answer.neighbours.map((neighbour, i) => {
    const votes = `${neighbour.votes} ${neighbour.votes === 1 ? "vote" : "votes"}`;
    const detail = `${formatDistance(neighbour.distance)} away · ${votes}`;
    const wrong = trueLabel !== null && trueLabel >= 0 && neighbour.label !== trueLabel;
    const onWhy = () => openExplanation(state, neighbour);
    const element = tile(neighbour, { detail, rank: i + 1, wrong, onWhy });
    explainOnHover(element, state, neighbour);
    return element;
  }));
}

function answerElements(answer) {
  const elements = [el("h1", { class: answer.unknown ? "unknown" : "" }, answer.words)];
  const sure = !answer.unknown && !answer.flags.length;
  if (answer.promise) elements.push(el("p", { class: sure ? "confidence" : "" }, answer.promise));
  if (answer.flag_text) elements.push(el("p", { class: "flag" }, `Expect a worse answer: ${answer.flag_text}.`));
  if (answer.difference) elements.push(el("p", { class: "flag" }, `Photos so far: ${answer.difference}.`));
  if (answer.unknown) elements.push(el("p", {}, `It looks most like ${answer.breed}.`));
  if (answer.row) {
    elements.push(el("p", { class: "note" }, answer.row.label < 0 ? "In the dataset, without a breed."
      : `In the dataset as ${answer.row.breed}; it does not vote on itself.`));
  }
  if (answer.breeds === null) elements.push(el("p", { class: "note" }, missingConfidenceText()));
  const votes = [[answer.breed, answer.votes], [answer.runner_up, answer.runner_up_votes]];
  const bars = votes.filter(([breed, count]) => breed && count).map(([breed, count]) =>
    el("li", {}, el("span", {}, breed), el("span", {}, `${count} of ${answer.k} votes`),
      el("meter", { min: 0, max: answer.k, value: count, "aria-label": `votes for ${breed}` })));
  elements.push(el("ul", { class: "votes" }, ...bars));
  return elements;
}

function missingConfidenceText() {
  if (status.calibration === "failed") {
    return `The confidence of the answers is unknown: ${status.calibration_problem}`;
  }
  return "The confidence of the answers is still being computed.";
}

function renderError(message) {
  $("error").textContent = message;
  $("answer").replaceChildren();
  $("results-title").textContent = "";
  $("neighbours").replaceChildren();
}

// ---- Uploads

async function upload(file) {
  if (!file) return;
  if (currentState().view !== "ask") history.pushState(null, "", urlWith({}));
  const request = ++latestRequest;
  $("error").textContent = "";
  try {
    if (file.size > dataset.most_bytes) {
      throw new Error(`The photo has more than ${Math.round(dataset.most_bytes / 1e6)} MB.`);
    }
    $("answer").replaceChildren(el("p", {}, status.network === "preparing"
      ? "The network is still loading; your photo is next." : "Searching …"));
    const { row, query } = await data.upload(file);
    if (request === latestRequest) navigate(urlWith({ row, query }));
  } catch (error) {
    if (request === latestRequest) {
      $("answer").replaceChildren();
      $("error").textContent = error.message;
    }
  }
}

for (const id of ["file", "camera"]) {
  $(id).addEventListener("change", () => { upload($(id).files[0]); $(id).value = ""; });
}
addEventListener("paste", (event) => {
  const file = [...(event.clipboardData?.files ?? [])].find(({ type }) => type.startsWith("image/"));
  if (file) { event.preventDefault(); upload(file); }
});
addEventListener("dragover", (event) => { event.preventDefault(); $("drop").classList.add("over"); });
addEventListener("dragleave", () => $("drop").classList.remove("over"));
addEventListener("drop", (event) => {
  event.preventDefault();
  $("drop").classList.remove("over");
  upload(event.dataTransfer.files[0]);
});

// The slider sends a request when it stops moving, and adds no history entries.
let sliderTimer = 0;
$("k").addEventListener("input", () => {
  $("k-value").textContent = $("k").value;
  clearTimeout(sliderTimer);
  sliderTimer = setTimeout(() => changeOptions({ k: $("k").value }), SLIDER_MILLISECONDS);
});
$("metric").addEventListener("change", () => changeOptions({ metric: $("metric").value }));
$("options").addEventListener("submit", (event) => event.preventDefault());

function changeOptions(changes) {
  const { row, query } = currentState();
  navigate(urlWith({ row, query, ...changes }), true);
}

// ---- Explanations: heat maps over two images

const canExplain = (metric) => dataset.explained.includes(metric) && status.network === "ready";

function explainOnHover(element, state, neighbour) {
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

async function openExplanation(state, neighbour) {
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

// ---- Browse

async function renderBrowse({ label }) {
  const view = $("browse");
  if (label === null) return renderBreeds(view);
  const breed = dataset.breeds.find((item) => item.label === label)?.breed;
  document.title = `${breed ?? "?"} – dogsim`;
  const list = el("ol", { class: "tiles" });
  const more = el("button", { type: "button", hidden: true }, "More");
  view.replaceChildren(
    el("div", { class: "bar" }, el("h1", {}, breed ?? "No such breed"),
      el("a", { href: urlWith({ view: "browse" }) }, "All breeds")), list, el("div", {}, more));
  const addRows = async () => {
    const start = list.children.length;
    const { rows, number } = await data.rows(label, start);
    list.append(...rows.map(fileTile));
    more.hidden = list.children.length >= number;
  };
  more.addEventListener("click", addRows);
  await addRows();
}

function renderBreeds(view) {
  document.title = "Browse – dogsim";
  const list = el("ol", { class: "tiles" });
  const search = el("input", { type: "search", id: "search", placeholder: "Find a breed" });
  const fill = () => {
    const text = search.value.trim().toLocaleLowerCase();
    const found = dataset.breeds.filter(({ breed }) => breed.toLocaleLowerCase().includes(text));
    list.replaceChildren(...found.map((item) => {
      const element = tile(item, { detail: counted(item.images, "image") });
      element.querySelector("a").href = urlWith({ view: "browse", label: item.label });
      return element;
    }));
  };
  search.addEventListener("input", fill);
  const title = el("h1", {}, counted(dataset.images, "image"));
  const label = el("label", { class: "visually-hidden", for: "search" }, "Find a breed");
  view.replaceChildren(el("div", { class: "bar" }, title, label, search), list);
  fill();
}

// ---- Accuracy and audit: the server computes each once, at the first request

// Return the report, or null if the view has changed meanwhile or there was an error.
async function pollReport(get, view, title, introduction) {
  document.title = `${title} – dogsim`;
  const request = ++latestRequest;
  const progress = el("p", { role: "status" }, "Computing; this happens only once …");
  view.replaceChildren(el("h1", {}, title), el("p", { class: "introduction" }, introduction), progress);
  try {
    for (let report = await get(); ; report = await get()) {
      if (request !== latestRequest) return null;
      if (!report.working) return report;
      if (report.progress) renderProgress(progress, report.progress);
      await sleep(1000);
    }
  } catch (error) {
    view.lastChild.textContent = error.message;
    return null;
  }
}

function renderProgress(element, { what, fraction, seconds_left: seconds }) {
  if (fraction === 1) return element.replaceChildren("Computing the next step …");
  const bar = element.querySelector("progress") ?? el("progress", { max: 1, "aria-label": "Progress" });
  bar.value = fraction;
  const left = seconds === null ? "" : `, ${seconds < 60 ? counted(Math.ceil(seconds), "second")
    : counted(Math.ceil(seconds / 60), "minute")} left`;
  element.setAttribute("aria-live", "off"); // a screen reader would read it every second
  return element.replaceChildren(bar, ` ${what}: ${Math.floor(100 * fraction)}\u00a0%${left}`);
}

async function renderEvaluation() {
  const view = $("judging");
  const report = await pollReport(data.evaluation, view, "How good are the answers?",
    "Every image of the dataset was a query once. It did not vote on itself.");
  if (!report) return;
  if (report.drawn) view.querySelector(".introduction").textContent =
    `${counted(report.results[0].queries, "image")}, drawn at random, were queries. None voted on itself.`;
  const figures = { curves: "Precision, recall and vote accuracy over k",
    confusions: "Confusion matrix of the breeds",
    distances: "Distances of images to their own breed and to others" };
  view.lastChild.replaceWith(
    table("Numbers", ["k", "precision", "recall", "vote accuracy"],
      report.results.map((result) => [result.k, formatPercent(result.precision_at_k),
        formatPercent(result.recall_at_k), formatPercent(result.vote_accuracy)])),
    el("div", { class: "figures" }, ...Object.entries(figures).map(([name, alt]) =>
      el("a", { href: data.figureUrl(name), target: "_blank", rel: "noopener" },
        el("img", { src: data.figureUrl(name), alt })))),
    el("h2", {}, report.confusions.length ? "Most often confused" : "No breeds are confused."),
    el("div", { class: "columns" }, ...report.confusions.map((pair) => confusedPair(
      `${pair.count} of ${Math.round(pair.count / pair.part)} ${pair.breed} → ${pair.taken_for}`,
      pair.images))),
    el("h2", {}, "Scores of each breed, the worst first"),
    table("Breeds", ["breed", "images", "vote accuracy", `precision@${report.k}`],
      report.per_breed.map((breed) => [breed.breed, breed.queries, percentBar(breed.vote_accuracy),
        percentBar(breed.precision_at_k)])));
}

const percentBar = (fraction) => el("span", {},
  el("meter", { min: 0, max: 1, value: fraction, "aria-hidden": "true" }), formatPercent(fraction));

function table(name, columns, rows) {
  const head = el("tr", {}, ...columns.map((column) => el("th", { scope: "col" }, column)));
  const body = rows.map((row) => el("tr", {}, ...row.map((value) =>
    el("td", {}, value instanceof Node ? value : String(value)))));
  return el("div", { class: "scroll", tabindex: "0", role: "region", "aria-label": name },
    el("table", {}, el("thead", {}, head), el("tbody", {}, ...body)));
}

async function renderAudit() {
  const view = $("audit");
  const report = await pollReport(data.audit, view, "What may be wrong with the dataset?",
    "Nothing was deleted or relabelled. Decide here, download the plan, and apply it.");
  if (!report) return;
  view.lastChild.remove();
  showFindings(view, report, { url: ({ row }) => data.imageUrl(row, 320), link: ({ row }) => urlWith({ row }),
    missing: () => "The image is missing." });
}

const confusedPair = (text, images) => el("div", { class: "confused" }, el("h3", {}, text),
  el("ol", { class: "tiles" }, ...images.map(fileTile)));

// ---- Start

async function pollStatus() {
  for (;;) {
    const before = status;
    try {
      status = await data.status();
    } catch { return; }
    renderStatus();
    const calibrated = before.calibration === "preparing" && status.calibration !== "preparing";
    if (calibrated && currentState().view === "ask") render();
    if (status.network !== "preparing" && status.calibration !== "preparing") return;
    await sleep(700);
  }
}

function renderStatus() {
  const line = $("network");
  line.className = { preparing: "working", failed: "failed" }[status.network] ?? "";
  line.textContent = { preparing: "The network is loading; you can browse already.",
    failed: `Photos cannot be searched: ${status.network_problem}` }[status.network] ?? "";
}

async function start() {
  try {
    dataset = await data.dataset();
  } catch (error) {
    $("error").textContent = error.message;
    return;
  }
  const breeds = dataset.breeds.filter((item) => item.label >= 0).length;
  $("gallery").textContent = `The dataset has ${counted(dataset.images, "image")} of ${counted(breeds, "breed")}.`;
  $("metric").append(...dataset.metrics.map((name) => el("option", { value: name }, name)));
  $("k").max = Math.min(dataset.most_k, MAX_SLIDER_K);
  pollStatus();
  await render();
}

start();
