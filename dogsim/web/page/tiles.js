// Tiles: images with their breeds. A click opens the large view; a link in a new tab searches.

import { data } from "./data.js";
import { el, fileName, imageFrame, isPlainClick } from "./dom.js";
import { urlWith } from "./state.js";
import { openViewer } from "./viewer.js";

// A tile of an image. `open` is called by a plain click; without it, the click follows the link.
export function tile(item, { detail = null, rank = null, wrong = false, href = urlWith({ row: item.row }), open = null,
  onWhy = null, name = nameOf(item) } = {}) {
  const onclick = (event) => {
    if (!open || !isPlainClick(event)) return;
    event.preventDefault();
    open();
  };
  const link = el("a", { href, title: item.path, onclick, "aria-haspopup": open ? "dialog" : null },
    imageFrame(data.imageUrl(item.row, 320), ""),
    el("div", { class: "text" },
      rank && el("span", { class: "visually-hidden" }, `Number ${rank}: `),
      el("span", { class: "name" }, name),
      wrong ? el("span", { class: "visually-hidden" }, "(another breed)") : null, detail));
  const badge = rank && el("span", { class: "rank", "aria-hidden": "true" }, String(rank));
  const button = onWhy && el("button", { type: "button", onclick: onWhy,
    "aria-label": `Why is number ${rank}, ${item.breed}, near?` }, "Why?");
  return el("li", { class: `tile${wrong ? " wrong" : ""}` }, link, badge, button);
}

// Tiles that open a large view of all items. `options` maps an item and its index to the options of
// `tile`, `viewed` to what the large view says about it. `shown` has the items of the large view;
// pass that of an earlier call to add items to its list.
export function viewableTiles(items, options, viewed = () => ({}), shown = []) {
  const first = shown.length;
  return items.map((item, i) => {
    const element = tile(item, { ...options(item, i), open: () => openViewer(shown, first + i) });
    shown.push({ ...item, ...viewed(item, i), link: element.querySelector("a") });
    return element;
  });
}

// What an image is called: by its breed, and without one by its file.
const nameOf = ({ label, breed, path }) => (label < 0 ? fileName(baseName(path)) : breed);
const baseName = (path) => path.split("/").pop();

export const fileTiles = (items, shown = []) =>
  viewableTiles(items, (item) => ({ detail: item.label < 0 ? null : fileDetail(item) }), () => ({}), shown);

const fileDetail = ({ path }) => el("span", { class: "detail" }, fileName(baseName(path)));
