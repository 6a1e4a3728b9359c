// The large view: one image of a list, the facts about it, and what can be done with it.

import { data } from "./data.js";
import { el, imageFrame } from "./dom.js";
import { $, formatDistance, percentBelow, urlWith } from "./state.js";

let items = []; // with row, breed and path; perhaps rank, distance, metric, closer_than, text, onWhy, link
let index = 0;

export function openViewer(list, first) {
  items = list;
  show(first);
  $("viewer").showModal();
}

// Close the large view because the page changes: the focus does not return to a tile.
export function closeViewer() {
  items = [];
  if ($("viewer").open) $("viewer").close();
}

function show(i) {
  index = i;
  const item = items[i];
  $("viewer-number").textContent = `${item.rank ? "Rank " : ""}${i + 1} of ${items.length}`;
  $("viewer-title").textContent = item.breed;
  $("viewer-image").replaceChildren(imageFrame(data.imageUrl(item.row, 640), item.breed));
  $("viewer-facts").replaceChildren(...facts(item).flatMap(([name, value]) =>
    [el("dt", {}, name), el("dd", {}, value)]));
  const original = data.originalUrl(item.row);
  $("viewer-original").hidden = original === null;
  $("viewer-original").href = original ?? "";
  $("viewer-search").href = urlWith({ row: item.row });
  $("viewer-why").hidden = !item.onWhy;
  $("viewer-message").textContent = "";
  $("viewer-previous").setAttribute("aria-disabled", i === 0);
  $("viewer-next").setAttribute("aria-disabled", i === items.length - 1);
  for (const near of [items[i - 1], items[i + 1]]) { // loaded before they are needed
    if (near) new Image().src = data.imageUrl(near.row, 640);
  }
}

function facts({ path, distance, metric, closer_than: closer, text }) {
  const lines = [];
  if (distance !== undefined) lines.push(["Distance", `${formatDistance(distance)} (${metric})`]);
  if (typeof closer === "number") lines.push(["Closer than", `${percentBelow(closer)} of the pairs of images of the dataset`]);
  if (text) lines.push(["Size and date", text]);
  return [...lines, ["File", path]];
}

function step(by) {
  const next = index + by;
  if (next >= 0 && next < items.length) show(next);
  else $("viewer-message").textContent = by > 0 ? "This is the last image." : "This is the first image.";
}

async function copyPath() {
  const { path } = items[index];
  const copied = await copy(path);
  $("viewer-message").textContent = copied ? "The path was copied." : "The browser cannot copy it. Press Ctrl+C.";
}

// Copy a text; without the permission for the clipboard, by a selection. If that fails as well, the
// selection stays, for the reader to copy.
async function copy(text) {
  try {
    await navigator.clipboard.writeText(text);
    return true;
  } catch {
    getSelection().selectAllChildren($("viewer-facts").lastChild);
    const copied = document.execCommand("copy");
    if (copied) getSelection().removeAllRanges();
    return copied;
  }
}

$("viewer-previous").addEventListener("click", () => step(-1));
$("viewer-next").addEventListener("click", () => step(1));
$("viewer-copy").addEventListener("click", copyPath);
$("viewer-why").addEventListener("click", () => items[index].onWhy());
$("viewer").addEventListener("keydown", (event) => {
  const steps = { ArrowLeft: -1, ArrowRight: 1, Home: -index, End: items.length - 1 - index };
  if (!(event.key in steps) || event.altKey || event.ctrlKey || event.metaKey) return;
  event.preventDefault();
  step(steps[event.key]);
});
$("viewer").addEventListener("click", (event) => {
  if (event.target === $("viewer")) $("viewer").close(); // a click beside the view
});
$("viewer").addEventListener("close", () => items[index]?.link?.focus());
