// The view of all breeds, and of the images of one breed.

import { data } from "./data.js";
import { counted, el } from "./dom.js";
import { $, shared, urlWith } from "./state.js";
import { fileTiles, tile } from "./tiles.js";

export async function renderBrowse({ label }) {
  const view = $("browse");
  if (label === null) return renderBreeds(view);
  const breed = shared.dataset.breeds.find((item) => item.label === label)?.breed;
  document.title = `${breed ?? "?"} – dogsim`;
  const list = el("ol", { class: "tiles" });
  const more = el("button", { type: "button", hidden: true }, "More");
  view.replaceChildren(
    el("div", { class: "bar" }, el("h1", {}, breed ?? "No such breed"),
      el("a", { href: urlWith({ view: "browse" }) }, "All breeds")), list, el("div", {}, more));
  const shown = []; // in the large view
  const addRows = async () => {
    const start = list.children.length;
    const { rows, number } = await data.rows(label, start);
    list.append(...fileTiles(rows, shown));
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
    const found = shared.dataset.breeds.filter(({ breed }) => breed.toLocaleLowerCase().includes(text));
    list.replaceChildren(...found.map((item) => tile(item, { name: item.breed, href: urlWith({ view: "browse", label: item.label }),
      detail: el("span", { class: "detail" }, counted(item.images, "image")) })));
  };
  search.addEventListener("input", fill);
  const title = el("h1", {}, counted(shared.dataset.images, "image"));
  const label = el("label", { class: "visually-hidden", for: "search" }, "Find a breed");
  view.replaceChildren(el("div", { class: "bar" }, title, label, search), list);
  fill();
}
