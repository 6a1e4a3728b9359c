// The view of the accuracy: scores, figures, confused breeds with their images, and each breed.

import { confusionMatrix, histogram, percentBar, plot } from "./charts.js";
import { data } from "./data.js";
import { counted, el } from "./dom.js";
import { pollReport } from "./poll.js";
import { $, formatPercent } from "./state.js";
import { fileTiles } from "./tiles.js";

const SCORE_TICKS = [0, 0.25, 0.5, 0.75, 1];

export async function renderEvaluation() {
  const view = $("judging");
  const report = await pollReport(data.evaluation, view, "How good are the answers?",
    "Every image of the dataset was a query once. It did not vote on itself.");
  if (!report) return;
  if (report.drawn) view.querySelector(".introduction").textContent =
    `${counted(report.results[0].queries, "image")}, drawn at random, were queries. None voted on itself.`;
  view.lastChild.replaceWith(...(report.warning ? [el("p", { class: "note" }, report.warning)] : []),
    table("Numbers", ["k", "precision", "recall", "vote accuracy"],
      report.results.map((result) => [result.k, formatPercent(result.precision_at_k),
        formatPercent(result.recall_at_k), formatPercent(result.vote_accuracy)])),
    el("div", { class: "figures" }, curves(report.curves), distances(report.distances)),
    el("h2", {}, report.confusions.length ? "Most often confused" : "No breeds are confused."),
    el("div", { class: "pairs" }, ...report.confusions.map(confusedPair)),
    confusionMatrix(`Confusion matrix of the vote of ${counted(report.k, "neighbour")}`, report.matrix),
    el("h2", {}, "Scores of each breed, the worst first"),
    table("Breeds", ["breed", "images", "vote accuracy", `precision@${report.k}`],
      report.per_breed.map((breed) => [breed.breed, breed.queries, percentBar(breed.vote_accuracy),
        percentBar(breed.precision_at_k)])));
}

function curves({ k, precision, recall, vote_accuracy: vote, vote_accuracy_ci95: interval, chance }) {
  const points = (values) => k.map((each, i) => [each, values[i]]);
  const series = [["vote accuracy", "third", vote], ["precision@k", "first", precision], ["recall@k", "second", recall],
    ["chance level", "chance", k.map(() => chance)]];
  return plot("Scores over the number of neighbours", {
    xLabel: "k, neighbours", yTicks: SCORE_TICKS, yMax: 1, band: k.map((each, i) => [each, ...interval[i]]),
    series: series.map(([name, type, values]) => ({ name, class: type, points: points(values) })) });
}

function distances({ edges, own, other, nearest }) {
  const series = [["own breed", "first", own], ["other breeds", "second", other], ["nearest image", "chance", nearest]];
  return histogram("How far images are from their own breed, other breeds and the nearest image", {
    edges, xLabel: "Euclidean distance", series: series.filter(([, , densities]) => densities.length)
      .map(([name, type, densities]) => ({ name, class: type, densities })) });
}

// A folded pair of breeds; its images are drawn when it is opened.
function confusedPair({ count, part, breed, taken_for: takenFor, images }) {
  const list = el("ol", { class: "tiles" });
  const open = () => { if (!list.children.length) list.append(...fileTiles(images)); };
  return el("details", { ontoggle: open }, el("summary", {},
    el("span", { class: "count" }, `${count} of ${Math.round(count / part)}`),
    el("span", { class: "breeds" }, `${breed} → ${takenFor}`),
    el("meter", { min: 0, max: 1, value: part, "aria-hidden": "true" })), list);
}

function table(name, columns, rows) {
  const head = el("tr", {}, ...columns.map((column) => el("th", { scope: "col" }, column)));
  const body = rows.map((row) => el("tr", {}, ...row.map((value) =>
    el("td", {}, value instanceof Node ? value : String(value)))));
  return el("div", { class: "scroll", tabindex: "0", role: "region", "aria-label": name },
    el("table", {}, el("thead", {}, head), el("tbody", {}, ...body)));
}
