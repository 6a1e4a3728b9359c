// The page of dogsim. The address tells what is shown; `show` draws what the address tells, and
// nothing else changes it. Names of breeds and files come from other people's folders: they are put
// in as text only (`el`), never as markup.

const $ = (id) => document.getElementById(id);
const VIEWS = ["ask", "browse", "judging", "audit"];
const HOVER = 350; // milliseconds that one rests on a picture before its map is fetched
let about = null; // what the dataset is: /api/dataset
let status = {}; // whether network and promise are there: /api/status
let latest = 0; // only the answer to the latest question is shown

// ---- Small tools

function el(tag, attributes = {}, ...children) {
  const svg = ["svg", "rect"].includes(tag);
  const made = svg ? document.createElementNS("http://www.w3.org/2000/svg", tag)
    : document.createElement(tag);
  for (const [name, value] of Object.entries(attributes)) {
    if (name.startsWith("on")) made.addEventListener(name.slice(2), value);
    else if (value !== null && value !== false) made.setAttribute(name, value === true ? "" : value);
  }
  made.append(...children.filter((child) => child !== null));
  return made;
}

async function api(path, options = {}) {
  let answer;
  try {
    answer = await fetch(path, options);
  } catch (error) {
    if (error.name === "AbortError") throw error;
    throw new Error("dogsim does not answer. Is it still running?");
  }
  const told = await answer.json();
  if (!answer.ok) throw Object.assign(new Error(told.error), { status: answer.status });
  return { ...told, working: answer.status === 202 };
}

const wait = (milliseconds) => new Promise((done) => setTimeout(done, milliseconds));
const number = (value) => value.toLocaleString("en");
const percent = (part) => `${(100 * part).toFixed(1)} %`;
const far = (distance) => distance.toPrecision(3);

// ---- The address

function state() {
  const asked = new URLSearchParams(location.search);
  const whole = (name) => (/^\d+$/.test(asked.get(name) ?? "") ? Number(asked.get(name)) : null);
  const view = VIEWS.includes(asked.get("view")) ? asked.get("view") : "ask";
  return {
    view,
    row: whole("row"),
    query: asked.get("query"),
    label: asked.has("label") ? Number(asked.get("label")) : null,
    k: Math.min(Math.max(whole("k") ?? 20, 1), about.most_k),
    metric: about.metrics.includes(asked.get("metric")) ? asked.get("metric") : about.metrics[0],
  };
}

function address(changes) {
  const { k, metric } = state();
  const told = new URLSearchParams();
  for (const [name, value] of Object.entries({ k, metric, ...changes })) {
    if (value !== null && value !== undefined) told.set(name, value);
  }
  return `/?${told}`;
}

function go(to, replace = false) {
  history[replace ? "replaceState" : "pushState"](null, "", to);
  show();
}

// A plain click on a link of the page changes what is shown, without loading the page anew.
document.addEventListener("click", (event) => {
  const link = event.target.closest("a[href='/'], a[href^='/?']");
  const plain = !(event.ctrlKey || event.metaKey || event.shiftKey || event.altKey || event.button);
  if (!link || !plain) return;
  event.preventDefault();
  go(link.getAttribute("href"));
  scrollTo(0, 0);
  if (link.closest("main")) $("main").focus({ preventScroll: true });
});
addEventListener("popstate", () => show());

async function show() {
  const now = state();
  for (const view of VIEWS) $(view).hidden = view !== now.view;
  for (const link of document.querySelectorAll("nav a")) {
    if (link.dataset.view === now.view) link.setAttribute("aria-current", "page");
    else link.removeAttribute("aria-current");
  }
  if ($("why").open) $("why").close();
  await { ask: showAnswer, browse: showBreeds, judging: showJudging, audit: showAudit }[now.view](now);
}

// ---- Pictures

const pictureOf = (row, size) => `/api/pictures/${row}?size=${size}`;
const shownBy = ({ row, query }, size) =>
  row === null ? `/api/queries/${encodeURIComponent(query)}/picture` : pictureOf(row, size);

function frame(source, alt) {
  const picture = el("img", { src: source, alt, loading: "lazy", decoding: "async" });
  const framed = el("div", { class: "frame" }, picture);
  picture.addEventListener("error", () => {
    picture.remove();
    framed.append(el("span", { class: "gone" }, "The picture is not there."));
  });
  return framed;
}

function tile(each, { said = "", rank = null, wrong = false, why = null } = {}) {
  const link = el("a", { href: address({ row: each.row }), title: each.path },
    frame(pictureOf(each.row, 320), ""),
    el("div", { class: "text" }, el("span", { class: "name" }, each.breed),
      wrong ? el("span", { class: "unseen" }, "(another breed)") : null,
      said ? el("span", { class: "said" }, said) : null));
  const badge = rank && el("span", { class: "rank", "aria-hidden": "true" }, String(rank));
  const button = why && el("button", { type: "button", onclick: why,
    "aria-label": `Why is number ${rank}, ${each.breed}, near?` }, "Why?");
  return el("li", { class: `tile${wrong ? " wrong" : ""}` }, link, badge, button);
}

// ---- Asking

async function showAnswer(now) {
  const asked = now.row !== null || now.query !== null;
  document.body.classList.toggle("asked", asked);
  $("how").hidden = !asked;
  $("shown").hidden = !asked;
  $("k").value = now.k;
  $("k-told").textContent = now.k;
  $("metric").value = now.metric;
  const mine = ++latest;
  try {
    if (!asked) return invite();
    await fillAnswer(now, mine);
  } catch (error) {
    if (mine === latest) complain(error.message);
  }
}

function invite() {
  document.title = "dogsim";
  $("trouble").textContent = $("says").textContent = "";
  const some = about.breeds.filter((each) => each.label >= 0).slice(0, 12);
  $("results-title").textContent = "Or begin with one of these";
  $("neighbours").replaceChildren(...some.map((each) => tile(each)));
}

async function fillAnswer(now, mine) {
  const source = shownBy(now, 640);
  if ($("shown").dataset.source !== source) {
    $("shown").dataset.source = source;
    $("shown").replaceChildren(frame(source, "The picture that is asked about"));
    $("says").replaceChildren(el("p", {}, "Looking …"));
  }
  const asked = new URLSearchParams({ k: now.k, metric: now.metric });
  asked.set(...(now.row === null ? ["query", now.query] : ["row", now.row]));
  const answer = await api(`/api/answer?${asked}`);
  if (mine !== latest) return;
  $("trouble").textContent = "";
  document.title = `${answer.words} – dogsim`;
  $("says").replaceChildren(...inWords(answer));
  $("results-title").textContent = "The nearest";
  const right = answer.row ? answer.row.label : null;
  $("neighbours").replaceChildren(...answer.neighbours.map((each, i) => {
    const said = `at ${far(each.distance)} · ${each.votes} ${each.votes === 1 ? "vote" : "votes"}`;
    const wrong = right !== null && right >= 0 && each.label !== right;
    const made = tile(each, { said, rank: i + 1, wrong, why: () => openWhy(now, each) });
    explainOnRest(made, now, each);
    return made;
  }));
}

function inWords(answer) {
  const sure = answer.breeds !== null;
  const parts = [el("h1", { class: answer.unknown ? "unknown" : "" }, answer.words)];
  if (answer.promise) parts.push(el("p", { class: answer.unknown ? "" : "promise" }, answer.promise));
  if (answer.unknown) parts.push(el("p", {}, `It looks most like ${answer.breed}.`));
  if (answer.row) {
    parts.push(el("p", { class: "label" }, answer.row.label < 0 ? "In the dataset, without a breed."
      : `In the dataset as ${answer.row.breed}; it has no vote on itself.`));
  }
  if (!sure) parts.push(el("p", { class: "label" }, unpromised()));
  const votes = [[answer.breed, answer.votes], [answer.runner_up, answer.runner_up_votes]];
  const bars = votes.filter(([breed, count]) => breed && count).map(([breed, count]) =>
    el("li", {}, el("span", {}, breed), el("span", {}, `${count} of ${answer.k} votes`),
      el("meter", { min: 0, max: answer.k, value: count, "aria-label": `votes for ${breed}` })));
  parts.push(el("ul", { class: "votes" }, ...bars));
  return parts;
}

function unpromised() {
  if (status.calibration === "failed") return `No promise: ${status.calibration_problem}`;
  return "How often such an answer is right is still being worked out.";
}

function complain(message) {
  $("trouble").textContent = message;
  $("says").replaceChildren();
  $("results-title").textContent = "";
  $("neighbours").replaceChildren();
}

// ---- Bringing a picture

async function bring(file) {
  if (!file) return;
  if (state().view !== "ask") history.pushState(null, "", address({}));
  const mine = ++latest;
  $("trouble").textContent = "";
  try {
    if (file.size > about.most_bytes) {
      throw new Error(`The picture has more than ${Math.round(about.most_bytes / 1e6)} MB.`);
    }
    $("says").replaceChildren(el("p", {}, status.network === "preparing"
      ? "The network is still being loaded; your picture is next." : "Looking …"));
    const kept = await api("/api/queries", { method: "POST", body: file, headers: { "X-Dogsim": "1" } });
    if (mine === latest) go(address({ row: kept.row, query: kept.query }));
  } catch (error) {
    if (mine === latest) {
      $("says").replaceChildren();
      $("trouble").textContent = error.message;
    }
  }
}

for (const id of ["file", "camera"]) {
  $(id).addEventListener("change", () => { bring($(id).files[0]); $(id).value = ""; });
}
addEventListener("paste", (event) => {
  const file = [...(event.clipboardData?.files ?? [])].find((each) => each.type.startsWith("image/"));
  if (file) { event.preventDefault(); bring(file); }
});
addEventListener("dragover", (event) => { event.preventDefault(); $("drop").classList.add("over"); });
addEventListener("dragleave", () => $("drop").classList.remove("over"));
addEventListener("drop", (event) => {
  event.preventDefault();
  $("drop").classList.remove("over");
  bring(event.dataTransfer.files[0]);
});

// The slider asks once it has rested a moment, and writes no history.
let resting = 0;
$("k").addEventListener("input", () => {
  $("k-told").textContent = $("k").value;
  clearTimeout(resting);
  resting = setTimeout(() => choose({ k: $("k").value }), 120);
});
$("metric").addEventListener("change", () => choose({ metric: $("metric").value }));
$("how").addEventListener("submit", (event) => event.preventDefault());

function choose(changes) {
  const { row, query } = state();
  go(address({ row, query, ...changes }), true);
}

// ---- Why: maps over two pictures

const explained = new Map(); // of this query, so that a second look costs nothing

async function explanation(now, other, signal) {
  const asked = new URLSearchParams({ other, metric: now.metric });
  asked.set(...(now.row === null ? ["query", now.query] : ["row", now.row]));
  const path = `/api/explanation?${asked}`;
  if (!explained.has(path)) {
    if (explained.size > 50) explained.clear();
    explained.set(path, await api(path, { signal }));
  }
  return explained.get(path);
}

const canExplain = (metric) => about.explained.includes(metric) && status.network === "ready";

function explainOnRest(made, now, each) {
  let timer = 0;
  let asking = null;
  const begin = () => {
    clearTimeout(timer);
    timer = setTimeout(async () => {
      if (!canExplain(now.metric)) return;
      asking = new AbortController();
      try {
        const why = await explanation(now, each.row, asking.signal);
        if (asking.signal.aborted) return;
        overlay($("shown").querySelector(".frame"), why.query.box).append(cells(why.query.likeness, 1));
        overlay(made.querySelector(".frame"), why.other.box).append(cells(why.other.likeness, 1));
      } catch { /* told by the button "Why?", where one asks for it */ }
    }, HOVER);
  };
  const end = () => {
    clearTimeout(timer);
    asking?.abort();
    for (const framed of [$("shown").querySelector(".frame"), made.querySelector(".frame")]) clean(framed);
  };
  made.addEventListener("pointerenter", (event) => { if (event.pointerType === "mouse") begin(); });
  made.addEventListener("pointerleave", end);
  made.addEventListener("focusin", () => { if (made.querySelector(":focus-visible")) begin(); });
  made.addEventListener("focusout", end);
}

// A layer over the part of a picture that the network has seen; a picture lies within its frame.
function overlay(framed, [left, top, right, bottom]) {
  clean(framed);
  const picture = framed.querySelector("img");
  const shape = picture?.naturalWidth ? picture.naturalWidth / picture.naturalHeight : 1;
  const [width, height] = shape > 1 ? [1, 1 / shape] : [shape, 1];
  const layer = el("div", { class: "map" });
  const put = (side, part) => { layer.style[side] = `${100 * part}%`; };
  put("left", (1 - width) / 2 + left * width);
  put("top", (1 - height) / 2 + top * height);
  put("width", (right - left) * width);
  put("height", (bottom - top) * height);
  framed.append(layer);
  return layer;
}

const clean = (framed) => framed?.querySelector(".map")?.remove();

// Colours for a map: what is above 0 brings together if `sign` is 1, apart if it is -1.
function cells(rows, sign, most = Math.max(...rows.flat().map(Math.abs)) || 1) {
  const drawn = el("svg", { viewBox: "0 0 1 1", preserveAspectRatio: "none", "aria-hidden": "true" });
  const [height, width] = [1 / rows.length, 1 / rows[0].length];
  rows.forEach((row, i) => row.forEach((value, j) => {
    const part = (sign * value) / most;
    const where = { x: j * width, y: i * height, width, height };
    drawn.append(el("rect", { ...where, class: part > 0 ? "together" : "apart",
      "fill-opacity": (0.75 * Math.sqrt(Math.abs(part))).toFixed(3) }));
    if (part < -0.25) drawn.append(el("rect", { ...where, fill: "url(#hatch)" }));
  }));
  return drawn;
}

function outline(layer, [height, width], row, column) {
  const where = { x: column / width, y: row / height, width: 1 / width, height: 1 / height };
  layer.querySelector("svg").append(el("rect", { ...where, class: "pointed" }),
    el("rect", { ...where, class: "pointed inner" }));
}

async function openWhy(now, each) {
  const dialog = $("why");
  $("why-title").textContent = `Why is this ${each.breed} near?`;
  $("why-caption").textContent = "";
  $("match").textContent = "Looking at both pictures; the first time takes some seconds …";
  const frames = [["why-query", shownBy(now, 640), now.row === null ? "Your picture" : "The picture asked about"],
    ["why-other", pictureOf(each.row, 640), each.breed]].map(([id, source, name]) => {
    const framed = frame(source, name);
    $(id).replaceChildren(framed, el("figcaption", {}, name));
    return framed;
  });
  dialog.showModal();
  try {
    const [why] = await Promise.all([explanation(now, each.row),
      ...frames.map((framed) => framed.querySelector("img")?.decode().catch(() => null))]);
    if (!dialog.open) return;
    const layers = [why.query, why.other].map((side, i) => overlay(frames[i], side.box));
    dialog.drawing = { why, layers };
    if (why.pairs) layers.forEach((layer, side) => pointable(layer, side, dialog.drawing));
    drawWhy();
  } catch (error) {
    $("match").textContent = error.message;
  }
}

$("why").addEventListener("close", () => { $("why").drawing = null; });
$("maps").addEventListener("change", () => drawWhy());

const chosenMap = () => document.querySelector("#maps input:checked").value;
const POINT = "Point to a place of either picture, or move there with the arrow keys, to see its match.";

// Draw the chosen map over both pictures.
function drawWhy() {
  if (!$("why").drawing) return;
  const { why, layers } = $("why").drawing;
  const kind = chosenMap();
  const maps = [why.query, why.other].map((side) => (kind === "parts" ? side.parts : side.likeness));
  const most = Math.max(...maps.flat(2).map(Math.abs)) || 1;
  layers.forEach((layer, side) => {
    layer.parentNode.classList.toggle("grey", kind !== "pairs");
    layer.replaceChildren(kind === "pairs" ? blank(why.shape)
      : cells(maps[side], kind === "parts" ? -1 : 1, most));
  });
  if (kind === "pairs") why.best_pairs.forEach((pair, i) => numbered(layers, why.shape, pair, i + 1));
  $("why-caption").textContent = why.captions[{ pairs: 0, likeness: 1, parts: 2 }[kind]];
  $("match").textContent = why.pairs ? POINT : "";
}

const blank = ([height, width]) => cells(Array.from({ length: height }, () => Array(width).fill(0)), 1);

function numbered(layers, [height, width], [row, column, otherRow, otherColumn], n) {
  [[row, column], [otherRow, otherColumn]].forEach(([i, j], side) => {
    const badge = el("span", { class: "badge" }, String(n));
    badge.style.left = `${(100 * (j + 0.5)) / width}%`;
    badge.style.top = `${(100 * (i + 0.5)) / height}%`;
    layers[side].append(badge);
  });
}

function pointable(layer, side, drawing) {
  const [height, width] = drawing.why.shape;
  const name = side ? "the neighbour" : "your picture";
  let place = [Math.floor(height / 2), Math.floor(width / 2)];
  const steps = { ArrowUp: [-1, 0], ArrowDown: [1, 0], ArrowLeft: [0, -1], ArrowRight: [0, 1] };
  layer.setAttribute("tabindex", "0");
  layer.setAttribute("role", "application");
  layer.setAttribute("aria-label", `Places of ${name}; the arrow keys move`);
  const inside = (value, most) => Math.min(Math.max(value, 0), most - 1);
  layer.addEventListener("pointermove", (event) => {
    const box = layer.getBoundingClientRect();
    place = [inside(Math.floor(((event.clientY - box.top) / box.height) * height), height),
      inside(Math.floor(((event.clientX - box.left) / box.width) * width), width)];
    match(drawing, side, place);
  });
  layer.addEventListener("keydown", (event) => {
    const step = steps[event.key];
    if (!step) return;
    event.preventDefault();
    place = [inside(place[0] + step[0], height), inside(place[1] + step[1], width)];
    match(drawing, side, place);
  });
  layer.addEventListener("focus", () => { if (layer.matches(":focus-visible")) match(drawing, side, place); });
  for (const leaving of ["pointerleave", "blur"]) layer.addEventListener(leaving, drawWhy);
}

// Show where a place of one picture finds its match in the other.
function match({ why, layers }, side, [row, column]) {
  const [height, width] = why.shape;
  const here = row * width + column;
  const there = side ? why.pairs.map((pairs) => pairs[here]) : why.pairs[here];
  const best = there.indexOf(Math.max(...there));
  const [bestRow, bestColumn] = [Math.floor(best / width), best % width];
  const rows = Array.from({ length: height }, (_, i) => there.slice(i * width, (i + 1) * width));
  layers.forEach((layer, i) => {
    layer.parentNode.classList.toggle("grey", i !== side);
    layer.replaceChildren(i === side ? blank(why.shape) : cells(rows, 1));
  });
  outline(layers[side], why.shape, row, column);
  outline(layers[1 - side], why.shape, bestRow, bestColumn);
  $("match").textContent = `Row ${row + 1}, column ${column + 1} finds its match in row ${bestRow + 1}, `
    + `column ${bestColumn + 1} of the other.`;
}

// ---- Browsing

async function showBreeds(now) {
  const view = $("browse");
  if (now.label === null) return listBreeds(view);
  const breed = about.breeds.find((each) => each.label === now.label);
  document.title = `${breed?.breed ?? "?"} – dogsim`;
  const list = el("ol", { class: "tiles" });
  const more = el("button", { type: "button", hidden: true }, "More");
  view.replaceChildren(
    el("div", { class: "bar" }, el("h1", {}, breed?.breed ?? "No such breed"),
      el("a", { href: address({ view: "browse" }) }, "All breeds")), list, el("div", {}, more));
  const add = async () => {
    const start = list.children.length;
    const found = await api(`/api/rows?label=${now.label}&start=${start}&count=60`);
    list.append(...found.rows.map((each) => tile(each, { said: each.path.split("/").pop() })));
    more.hidden = list.children.length >= found.number;
  };
  more.addEventListener("click", add);
  await add();
}

function listBreeds(view) {
  document.title = "Browse – dogsim";
  const list = el("ol", { class: "tiles" });
  const seek = el("input", { type: "search", id: "seek", placeholder: "Find a breed" });
  const fill = () => {
    const wanted = seek.value.trim().toLocaleLowerCase();
    const some = about.breeds.filter((each) => each.breed.toLocaleLowerCase().includes(wanted));
    list.replaceChildren(...some.map((each) => {
      const made = tile(each, { said: `${number(each.pictures)} pictures` });
      made.querySelector("a").href = address({ view: "browse", label: each.label });
      return made;
    }));
  };
  seek.addEventListener("input", fill);
  view.replaceChildren(el("div", { class: "bar" }, el("h1", {}, `${number(about.pictures)} pictures`),
    el("label", { class: "unseen", for: "seek" }, "Find a breed"), seek), list);
  fill();
}

// ---- Judging and auditing: computed once, when somebody asks

async function whenDone(path, view, title, lead) {
  document.title = `${title} – dogsim`;
  const mine = ++latest;
  view.replaceChildren(el("h1", {}, title), el("p", { class: "lead" }, lead),
    el("p", { role: "status" }, "Working; this is done once …"));
  try {
    for (let told = await api(path); ; told = await api(path)) {
      if (mine !== latest) return null;
      if (!told.working) return told;
      await wait(1000);
    }
  } catch (error) {
    view.lastChild.textContent = error.message;
    return null;
  }
}

async function showJudging() {
  const view = $("judging");
  const told = await whenDone("/api/judging", view, "How good are the answers?",
    "Every picture of the dataset was asked in turn, and left out of its own answer.");
  if (!told) return;
  const figures = { curves: "Precision, recall and vote over k", confusions: "Which breeds are taken for which",
    distances: "How far pictures are from their own breed and from others" };
  view.lastChild.replaceWith(
    el("div", { class: "scroll", tabindex: "0", role: "region", "aria-label": "Numbers" }, table(
      ["k", "precision", "recall", "vote right"],
      told.results.map((each) => [each.k, percent(each.precision_at_k), percent(each.recall_at_k),
        percent(each.vote_accuracy)]))),
    el("div", { class: "figures" }, ...Object.entries(figures).map(([name, alt]) =>
      el("a", { href: `/api/judging/${name}.png`, target: "_blank", rel: "noopener" },
        el("img", { src: `/api/judging/${name}.png`, alt })))),
    el("h2", {}, told.confusions.length ? "Most often confused" : "No breed is taken for another."),
    el("div", { class: "side" }, ...told.confusions.map((each) => finding(
      `${each.count} of ${Math.round(each.count / each.part)} ${each.breed} → ${each.taken_for}`, each.pictures))),
    el("h2", {}, "Breed by breed, the worst first"),
    el("div", { class: "scroll", tabindex: "0", role: "region", "aria-label": "Breeds" }, table(
      ["breed", "pictures", "vote right", `precision@${told.k}`],
      told.per_breed.map((each) => [each.breed, each.queries, bar(each.vote_accuracy), bar(each.precision_at_k)]))));
}

const bar = (part) => el("span", {}, el("meter", { min: 0, max: 1, value: part, "aria-hidden": "true" }), percent(part));

function table(names, rows) {
  return el("table", {}, el("thead", {}, el("tr", {}, ...names.map((name) => el("th", { scope: "col" }, name)))),
    el("tbody", {}, ...rows.map((row) => el("tr", {}, ...row.map((value) =>
      el("td", {}, value instanceof Node ? value : String(value)))))));
}

async function showAudit() {
  const view = $("audit");
  const told = await whenDone("/api/audit", view, "What may be wrong with the dataset?",
    "Nothing was deleted or relabelled. Look at each finding: many suspicious labels are right.");
  if (!told) return;
  const kinds = { duplicates: "The same picture more than once", labels: "Suspicious labels",
    novel: "What fits nowhere", poor: "Poor pictures" };
  view.lastChild.replaceWith(...Object.entries(kinds).flatMap(([name, title]) => {
    const { findings, number: all } = told[name];
    const shown = findings.length < all ? `, ${findings.length} of them shown` : "";
    return [el("h2", {}, `${title}: ${all}${shown}`),
      el("div", { class: "side" }, ...findings.map((each) => finding(each.says, each.pictures)))];
  }));
}

const finding = (says, pictures) => el("div", { class: "finding" }, el("h3", {}, says),
  el("ol", { class: "tiles" }, ...pictures.map((each) => tile(each, { said: each.path.split("/").pop() }))));

// ---- The beginning

async function watch() {
  for (;;) {
    const before = status;
    try {
      status = await api("/api/status");
    } catch { return; }
    tellStatus();
    const became = before.calibration === "preparing" && status.calibration !== "preparing";
    if (became && state().view === "ask") show();
    if (status.network !== "preparing" && status.calibration !== "preparing") return;
    await wait(700);
  }
}

function tellStatus() {
  const line = $("network");
  line.className = { preparing: "working", failed: "failed" }[status.network] ?? "";
  line.textContent = { preparing: "The network is being loaded; browsing works already.",
    failed: `No picture can be asked: ${status.network_problem}` }[status.network] ?? "";
}

async function begin() {
  try {
    about = await api("/api/dataset");
  } catch (error) {
    $("trouble").textContent = error.message;
    return;
  }
  const breeds = about.breeds.filter((each) => each.label >= 0).length;
  $("gallery").textContent = `${number(about.pictures)} pictures of ${number(breeds)} breeds are known here.`;
  $("metric").append(...about.metrics.map((name) => el("option", { value: name }, name)));
  $("k").max = Math.min(about.most_k, 50);
  watch();
  await show();
}

begin();
