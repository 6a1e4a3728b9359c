// The page of dogsim. The URL holds the state of the page; `render` draws that state, and nothing
// else changes what is shown. Names of breeds and files are untrusted:
// they are inserted as text (`el`), never as markup.
//
// state.js: the URL; data.js: the requests; tiles.js, viewer.js: images; answer.js, why.js: an answer
// and its explanation; browse.js, evaluation.js with charts.js: the other views.

import { answerElements } from "./answer.js";
import { renderBrowse } from "./browse.js";
import { data } from "./data.js";
import { counted, el, imageFrame, isPlainClick } from "./dom.js";
import { renderEvaluation } from "./evaluation.js";
import { showFindings } from "./findings.js";
import { pollReport, sleep } from "./poll.js";
import { $, VIEWS, currentState, navigate, percentBelow, shared, startRequest, urlWith } from "./state.js";
import { tile, viewableTiles } from "./tiles.js";
import { closeViewer, openViewer } from "./viewer.js";
import { explainOnHover, openExplanation } from "./why.js";

const SLIDER_MILLISECONDS = 120; // before a moved slider sends a request
const STATUS_MILLISECONDS = 700; // between two requests for the status
const MAX_SLIDER_K = 50;
const MAX_EXAMPLES = 12;
const UNLABELLED = -1; // the label of images without one
document.body.classList.toggle("static", data.isStatic);

// ---- The state

// A plain click on an internal link changes the state without reloading the page.
document.addEventListener("click", (event) => {
  const link = event.target.closest("a[href^='?']");
  if (!link || !isPlainClick(event) || event.defaultPrevented) return;
  event.preventDefault();
  const focuses = link.closest("main, dialog");
  navigate(link.getAttribute("href"));
  scrollTo(0, 0);
  if (focuses) $("main").focus({ preventScroll: true });
});
for (const type of ["popstate", "statechange"]) addEventListener(type, () => render());

async function render() {
  const state = currentState();
  for (const view of VIEWS) $(view).hidden = view !== state.view;
  for (const link of document.querySelectorAll("nav a")) {
    if (link.dataset.view === state.view) link.setAttribute("aria-current", "page");
    else link.removeAttribute("aria-current");
  }
  if ($("why").open) $("why").close();
  closeViewer();
  const views = { ask: renderQuery, browse: renderBrowse, judging: renderEvaluation, audit: renderAudit };
  await views[state.view](state);
}

// ---- A query and its answer

async function renderQuery(state) {
  const hasQuery = state.row !== null || state.query !== null;
  document.body.classList.toggle("has-query", hasQuery);
  $("options").hidden = !hasQuery;
  $("query-image").hidden = !hasQuery;
  $("k").value = state.k;
  $("k-value").textContent = state.k;
  $("metric").value = state.metric;
  const isLatest = startRequest();
  try {
    if (!hasQuery) return await renderStart(isLatest);
    await renderAnswer(state, isLatest);
  } catch (error) {
    if (isLatest()) renderError(error.message);
  }
}

async function renderStart(isLatest) {
  document.title = "dogsim";
  $("error").textContent = $("answer").textContent = "";
  const labelled = shared.dataset.breeds.filter((item) => item.label >= 0);
  const examples = labelled.length ? labelled : (await data.rows(UNLABELLED, 0)).rows;
  if (isLatest()) showTiles(`${data.isStatic ? "Start" : "Or start"} with one of these`, "", examples.slice(0, MAX_EXAMPLES).map((item) => tile(item)));
}

function showTiles(title, hint, tiles) {
  $("results-title").textContent = title;
  $("results-hint").textContent = hint;
  $("neighbours").replaceChildren(...tiles);
}

async function renderAnswer(state, isLatest) {
  const url = data.queryImageUrl(state, 640);
  if ($("query-image").dataset.url !== url) {
    $("query-image").dataset.url = url;
    $("query-image").replaceChildren(imageFrame(url, "The query image"));
    $("answer").replaceChildren(el("p", { class: "working" }, "Searching …"));
  }
  const answer = await data.answer(state);
  if (!isLatest()) return;
  $("error").textContent = "";
  document.title = `${answer.words} – dogsim`;
  $("answer").replaceChildren(...answerElements(answer));
  const fractions = answer.neighbours.map((neighbour) => neighbour.closer_than).filter((each) => each !== null);
  const hint = fractions.length ? closenessHint(fractions[0], answer.row ? "the query" : "your photo") : "";
  showTiles("The nearest images", hint, neighbourTiles(answer, state));
}

function neighbourTiles(answer, state) {
  const trueLabel = answer.row ? answer.row.label : -1;
  const onWhy = (neighbour) => (data.isStatic ? null : () => openExplanation(state, neighbour));
  const tiles = viewableTiles(answer.neighbours, (neighbour, i) => ({ detail: closeness(neighbour), rank: i + 1,
    wrong: trueLabel >= 0 && neighbour.label !== trueLabel, onWhy: onWhy(neighbour) }),
  (neighbour, i) => ({ rank: i + 1, metric: state.metric,
    onWhy: shared.dataset.explained.includes(state.metric) ? onWhy(neighbour) : null }));
  tiles.forEach((element, i) => explainOnHover(element, state, answer.neighbours[i]));
  return tiles;
}

const MIN_CLOSER = 0.01; // a smaller fraction is said the other way round
const closerText = (fraction) => (fraction < MIN_CLOSER ? "farther than 99\u00a0%" : `closer than ${percentBelow(fraction)}`);
const closeness = ({ closer_than: fraction }) =>
  (fraction === null ? null : el("span", { class: "detail" }, closerText(fraction)));

// What the percentages of the tiles mean, by the example of the nearest image.
function closenessHint(fraction, query) {
  const [share, than] = fraction < MIN_CLOSER ? ["99\u00a0%", "closer to each other"] : [percentBelow(fraction), "farther apart"];
  return `Number 1 is ${closerText(fraction)}: of all pairs of images of this dataset, ${share} are ${than} than it and ${query}.`;
}

// The answer is an error, such as an upload that has expired: ask for another photo.
function renderError(message) {
  document.body.classList.remove("has-query");
  $("options").hidden = $("query-image").hidden = true;
  $("error").textContent = message;
  $("answer").replaceChildren();
  showTiles("", "", []);
}

// ---- Uploads

async function upload(file) {
  if (!file) return;
  if (currentState().view !== "ask") history.pushState(null, "", urlWith({}));
  const isLatest = startRequest();
  $("error").textContent = "";
  try {
    if (file.size > shared.dataset.most_bytes) {
      throw new Error(`The photo has more than ${Math.round(shared.dataset.most_bytes / 1e6)} MB.`);
    }
    $("answer").replaceChildren(el("p", { class: "working" }, shared.status.network === "preparing"
      ? "The network is still loading; your photo is next." : "Searching …"));
    const { row, query } = await data.upload(file);
    if (isLatest()) navigate(urlWith({ row, query }));
  } catch (error) {
    if (isLatest()) {
      $("answer").replaceChildren();
      $("error").textContent = error.message;
    }
  }
}

function acceptUploads() {
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
}

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

// ---- The audit

async function renderAudit() {
  const view = $("audit");
  const report = await pollReport(data.audit, view, "What may be wrong with the dataset?",
    `Nothing was deleted or relabelled. ${data.isStatic ? "" : "Decide here, download the plan, and apply it."}`);
  if (!report) return;
  view.lastChild.remove();
  showFindings(view, report, { url: ({ row }) => data.imageUrl(row, 320), link: ({ row }) => urlWith({ row }),
    missing: () => "The image is missing.",
    open: (files, i) => openViewer(files.map((file) => ({ ...file, breed: file.label || "unknown" })), i) });
}

// ---- Start

// An exported page: the style hides what needs a server (class `live`).
function describeExport({ name, date, version, thumbnail_side: side }) {
  $("question").textContent = "Which images of this dataset look alike?";
  $("about").hidden = false;
  $("about").textContent = `A static copy of the dataset ${name}, made by dogsim ${version} on ${date}. It contains `
    + `thumbnails of at most ${side} pixels, not the original images, and no features.`;
}

async function pollStatus() {
  for (;;) {
    const before = shared.status.calibration;
    try {
      shared.status = await data.status();
    } catch { return; }
    renderStatus();
    const { network, calibration } = shared.status;
    if (before === "preparing" && calibration !== "preparing") await renderConfidence();
    if (network !== "preparing" && calibration !== "preparing") return;
    await sleep(STATUS_MILLISECONDS);
  }
}

// Add the confidence to the answer box when it is known; the tiles stay as they are.
async function renderConfidence() {
  const url = location.href;
  const state = currentState();
  if (state.view !== "ask" || (state.row === null && state.query === null)) return;
  const answer = await data.answer(state).catch(() => null);
  if (answer && url === location.href) $("answer").replaceChildren(...answerElements(answer));
}

function renderStatus() {
  const { network, network_problem: problem } = shared.status;
  document.body.classList.toggle("no-network", network === "failed"); // and no explanations
  const line = $("network");
  line.className = { preparing: "working", failed: "failed" }[network] ?? "";
  line.textContent = { preparing: "The network is loading; you can browse already.",
    failed: `Photos cannot be searched: ${problem}` }[network] ?? "";
}

async function start() {
  try {
    shared.dataset = await data.dataset();
  } catch (error) {
    $("error").textContent = error.message;
    return;
  }
  const { breeds, images, metrics, most_k: maxK } = shared.dataset;
  if (data.isStatic) describeExport(shared.dataset.export);
  else acceptUploads();
  const known = breeds.filter((item) => item.label >= 0).length;
  $("gallery").textContent = `The dataset has ${counted(images, "image")} `
    + (known ? `of ${counted(known, "breed")}.` : "without labels.");
  $("metric").append(...metrics.map((name) => el("option", { value: name }, name)));
  $("k").max = Math.min(maxK, MAX_SLIDER_K);
  pollStatus();
  await render();
}

start();
