// The findings of an audit, on the page and in the saved report: drawn a few at a time, decided on
// by mouse, touch or keyboard, and downloaded as a plan. Nothing here changes a file. The URL holds
// the current finding (#labels-12), and localStorage the decisions (plan.js).

import { counted, el, fileName, formatNumber, imageFrame, isPlainClick } from "./dom.js";
import { Plan, store, stored } from "./plan.js";

const FINDINGS_AT_A_TIME = 20;
const MAX_IMAGES_SHOWN = 12; // of a finding, until its reader wants all
const MAX_IMAGES_IN_A_ROW = 6;
const KEYS = [["j", "→", "next"], ["k", "←", "previous"], ["a", "", "accept suggestion"], ["b", "", "keep both"],
  ["r", "", "remove"], ["1", "9", "keep or remove image 1 to 9"], ["e", "", "edit label"], ["u", "Ctrl+Z", "undo"]];
const MOVING_KEYS = ["j", "k", "ArrowRight", "ArrowLeft"];
const NEXT = "dogsim apply plan.csv DATASET -o clean.h5";
const NO_PLAN = { id: "", columns: [], rows: [] };
const KEYS_OFF = "dogsim-audit-keys-off"; // in localStorage: single keys disturb who dictates
let shown = null; // the findings that the keys belong to

// Draw the findings of a report into an element. `images` has the functions `url` and `link`: from a
// file of the report to the URL of its thumbnail and of what a click on it opens, or null. With the
// function `open`, a click opens an image in place: it receives the images of the finding and an index.
// Without a plan, findings are only read.
export function showFindings(view, report, images) {
  shown = new Findings(report, images);
  view.classList.add("findings-view");
  view.append(...shown.elements());
  shown.start();
}

document.addEventListener("keydown", (event) => shown?.onKey(event));

class Findings {
  constructor(report, images) {
    this.report = report;
    this.images = images;
    this.isReadOnly = report.plan === null;
    this.plan = new Plan(report.plan ?? NO_PLAN);
    this.current = null; // the id of a finding
    this.sections = report.sections.map((section) => new Section(this, section));
    this.cards = new Map(); // the cards that are drawn, by the id of their finding
  }

  elements() {
    this.message = el("p", { class: "message first", role: "status" },
      this.isReadOnly ? "" : `Download plan.csv, then: ${NEXT}`);
    this.counts = el("p", { class: "counts" });
    this.undoButton = el("button", { type: "button", onclick: () => this.undo() }, "Undo");
    const download = el("button", { type: "button", class: "button primary", onclick: () => this.download() },
      "Download plan.csv");
    const breeds = el("datalist", { id: "breeds" }, ...this.report.breeds.map((value) => el("option", { value })));
    this.bar = el("div", { class: `plan-bar${this.isReadOnly ? " reading" : ""}`, role: "region", "aria-label": this.isReadOnly ? "Keys" : "Plan" },
      el("div", { class: "plan-state" }, this.isReadOnly ? null : this.counts, this.message),
      this.isReadOnly ? null : el("div", { class: "plan-buttons" }, this.undoButton, download), this.keysLine());
    return [...this.notes(), this.contents(), breeds, ...this.sections.map((section) => section.element), this.bar];
  }

  // What the audit left out, and what its findings mean for an evaluation.
  notes() {
    const { left_out: leftOut, leaks_add: added } = this.report;
    const lines = [...leftOut];
    if (added !== null) lines.push(`The leaks add ${(100 * added).toFixed(2)} percentage points to the vote accuracy.`);
    return lines.length ? [el("ul", { class: "notes", "aria-label": "Notes" },
      ...lines.map((line) => el("li", {}, line)))] : [];
  }

  contents() {
    return el("ul", { class: "contents", "aria-label": "Kinds of findings" }, ...this.sections.map((section) =>
      el("li", {}, el("button", { type: "button", disabled: !section.findings.length,
        onclick: () => section.show() }, section.title, " ",
      el("b", {}, formatNumber(section.findings.length))))));
  }

  start() {
    const wanted = location.hash.slice(1);
    const section = this.sectionOf(wanted);
    if (section) this.moveTo(wanted);
    else this.sections.find(({ findings }) => findings.length)?.open();
    this.update();
  }

  sectionOf(id) { return this.sections.find((section) => section.indexOf(id) >= 0); }

  // ---- Moving

  moveTo(id) {
    const section = this.sectionOf(id);
    section.open();
    section.drawUpTo(section.indexOf(id));
    const card = this.cards.get(id).element;
    card.focus({ preventScroll: true });
    card.scrollIntoView({ block: "nearest" });
    this.select(id);
  }

  select(id) {
    if (id === this.current) return;
    this.cards.get(this.current)?.element.removeAttribute("aria-current");
    this.cards.get(id).element.setAttribute("aria-current", "true");
    this.current = id;
    history.replaceState(null, "", `#${id}`);
  }

  // Move to the finding `step` places further, in the next section if need be.
  step(step) {
    const ids = this.sections.flatMap(({ findings }) => findings.map(({ id }) => id));
    const place = ids.indexOf(this.current) + step;
    const first = this.current === null ? 0 : place;
    if (first >= 0 && first < ids.length) this.moveTo(ids[first]);
    else this.say(step > 0 ? "This is the last finding." : "This is the first finding.");
  }

  // ---- Deciding

  act(findings, changes, text) {
    this.plan.act(findings.map(({ id }) => id), changes);
    this.update(changes.map(([file]) => file));
    this.say(this.plan.isStored ? text : `${text} The browser cannot keep it: a reload loses it.`);
  }

  undo() {
    if (!this.plan.actions.length) return this.say("There is nothing to undo.");
    const { findings, changes } = this.plan.undo();
    this.update(changes.map(([file]) => file), findings);
    if (findings.length === 1) this.moveTo(findings[0]);
    return this.say(findings.length === 1 ? "Undone." : `Undone for ${counted(findings.length, "finding")}.`);
  }

  // Draw the state of some images again, and the counts.
  update(files = [], ids = []) {
    const changed = new Set(files);
    for (const card of this.cards.values()) {
      if (ids.includes(card.finding.id) || card.finding.images.some(({ file }) => changed.has(file))) card.update();
    }
    for (const section of this.sections) section.update();
    const { removed, relabelled, reviewed } = this.plan;
    const total = this.sections.reduce((sum, { findings }) => sum + findings.length, 0);
    this.counts.textContent = `${counted(removed, "image")} to remove · ${counted(relabelled, "new label")} · `
      + `${formatNumber(reviewed.size)} of ${counted(total, "finding")} decided`
      + (reviewed.size < total ? ", the others as plan.csv proposes" : "");
    this.undoButton.disabled = !this.plan.actions.length;
  }

  say(text) {
    this.message.className = "message";
    this.message.textContent = text;
  }

  download() {
    const url = URL.createObjectURL(new Blob([this.plan.csv()], { type: "text/csv" }));
    el("a", { href: url, download: "plan.csv" }).click();
    setTimeout(() => URL.revokeObjectURL(url), 10_000);
    this.say(`Next: ${NEXT}`);
  }

  // ---- The keyboard

  onKey(event) {
    const { target } = event;
    const key = event.key.length === 1 ? event.key.toLowerCase() : event.key; // also with Caps Lock
    if (!this.bar.isConnected || !this.bar.checkVisibility()) return;
    const writing = target.matches("input:not([type=checkbox]), select, textarea") || document.querySelector("dialog[open]");
    if (writing || event.altKey) return;
    const undoes = key === "z" && (event.ctrlKey || event.metaKey) && !event.shiftKey;
    if (!undoes && (event.ctrlKey || event.metaKey || !this.keysBox.checked)) return;
    const card = this.cards.get(this.current);
    const actions = { j: () => this.step(1), ArrowRight: () => this.step(1), k: () => this.step(-1),
      ArrowLeft: () => this.step(-1), u: () => this.undo(), a: () => card?.accept(), b: () => card?.keepAll(),
      r: () => card?.removeOne(), e: () => card?.input?.select() };
    if (this.isReadOnly && !MOVING_KEYS.includes(key)) return;
    const action = undoes ? actions.u : /^[1-9]$/.test(key) ? () => card?.toggle(Number(key) - 1) : actions[key];
    if (!action) return;
    event.preventDefault();
    action();
  }

  // The keys, and a check box that turns them off.
  keysLine() {
    this.keysBox = el("input", { type: "checkbox", onchange: () => store(KEYS_OFF, this.keysBox.checked ? null : "1") });
    this.keysBox.checked = !stored(KEYS_OFF);
    const shownKeys = KEYS.filter(([key]) => !this.isReadOnly || MOVING_KEYS.includes(key));
    const keys = shownKeys.map(([key, other, text]) => el("span", {}, el("kbd", {}, key),
      ...(other ? [key === "1" ? "–" : " ", el("kbd", {}, other)] : []), ` ${text}`));
    return el("p", { class: "keys" }, el("label", {}, this.keysBox, " Keys"), ...keys);
  }
}

// A folded section with the findings of one kind.
class Section {
  constructor(page, { kind, title, text, findings }) {
    Object.assign(this, { page, title, findings });
    findings.forEach((finding, i) => Object.assign(finding, { kind, id: `${kind}-${i + 1}` }));
    this.list = el("ol", { class: "findings" });
    this.more = el("button", { type: "button", class: "more", onclick: () => this.drawMore() });
    this.progress = el("span", { class: "progress" });
    this.element = el("details", { class: "findings-section", id: kind, ontoggle: () => this.drawFirst() },
      el("summary", {}, el("h2", {}, title), el("b", { class: "number" }, formatNumber(findings.length)), this.progress),
      el("p", { class: "introduction" }, text), page.isReadOnly ? null : this.bulk(), this.list, this.more);
    this.element.hidden = !findings.length;
  }

  indexOf(id) { return this.findings.findIndex((finding) => finding.id === id); }

  bulk() {
    const suggests = this.findings.some(({ suggestion }) => suggestion);
    const decide = (name, changesOf) => el("button", { type: "button", onclick: () => this.decideAll(changesOf) }, name);
    return el("div", { class: "bulk" }, suggests ? decide("Accept all suggestions", suggestionOf) : null,
      decide("Keep all", (finding) => keepingOf(finding, this.page)));
  }

  decideAll(changesOf) {
    const findings = this.findings.filter((finding) => changesOf(finding).length);
    const text = `Decided on ${counted(findings.length, "finding")}. Undo takes all of it back.`;
    this.page.act(findings, findings.flatMap(changesOf), text);
  }

  open() {
    this.element.open = true;
    this.drawFirst();
  }

  show() {
    this.open();
    this.element.scrollIntoView({ block: "start" });
    this.element.querySelector("summary").focus({ preventScroll: true });
  }

  drawFirst() { if (!this.list.children.length) this.drawUpTo(0); }

  drawMore() {
    const next = this.list.children.length;
    this.drawUpTo(next);
    this.page.moveTo(this.findings[next].id);
  }

  // Draw findings, a number at a time, until the one at an index is drawn.
  drawUpTo(index) {
    const { page, list, findings } = this;
    while (list.children.length <= Math.min(index, findings.length - 1)) {
      const start = list.children.length;
      list.append(...findings.slice(start, start + FINDINGS_AT_A_TIME).map((finding) => {
        const card = new Card(page, finding);
        page.cards.set(finding.id, card);
        return card.element;
      }));
    }
    const rest = findings.length - list.children.length;
    this.more.hidden = !rest;
    this.more.textContent = `Show ${Math.min(rest, FINDINGS_AT_A_TIME)} more of ${formatNumber(rest)}`;
  }

  update() {
    const decided = this.findings.filter(({ id }) => this.page.plan.reviewed.has(id)).length;
    this.progress.textContent = decided ? `${formatNumber(decided)} decided` : "";
  }
}

// A finding with its images and what can be decided about them.
class Card {
  constructor(page, finding) {
    Object.assign(this, { page, finding });
    this.decidable = finding.images.filter(({ file, decidable }) => decidable && page.plan.has(file));
    this.tiles = finding.images.map((image, i) => new Tile(page, this, image, i));
    this.list = el("ol", { class: "images" });
    this.warning = el("p", { class: "warning" });
    this.element = el("li", { class: `finding ${finding.kind}`, tabindex: "-1", "aria-labelledby": `title-${finding.id}`,
      onfocusin: () => page.select(finding.id), onpointerdown: () => page.select(finding.id) },
    el("h3", { id: `title-${finding.id}` }, finding.text), this.list, this.warning, this.decisions());
    this.element.style.setProperty("--images", Math.min(finding.images.length, MAX_IMAGES_IN_A_ROW));
    this.drawImages(MAX_IMAGES_SHOWN);
    this.update();
  }

  drawImages(number) {
    const hidden = this.tiles.length - number;
    const more = hidden > 0 && el("li", {}, el("button", { type: "button",
      onclick: () => this.drawImages(this.tiles.length) }, `Show ${counted(hidden, "more image")}`));
    this.list.replaceChildren(...this.tiles.slice(0, number).map(({ element }) => element), ...(more ? [more] : []));
  }

  decisions() {
    if (this.page.isReadOnly) return null;
    const { suggestion, choices, kind } = this.finding;
    const button = (text, act, name = null) => el("button", { type: "button", class: name, onclick: act }, text);
    const buttons = choices.map((choice) => button(choice.text, () => this.choose(choice)));
    if (suggestion) buttons.unshift(button(suggestion.text, () => this.accept(), "accept"));
    if (this.decidable.length) buttons.push(button(this.keepText(), () => this.keepAll()));
    if (this.decidable.length === 1 && kind !== "leaks") buttons.push(button("Remove", () => this.removeOne()));
    if (RELABELLED_KINDS.includes(kind) && this.decidable.length && this.page.report.breeds.length) {
      const id = `label-${this.finding.id}`;
      this.input = el("input", { id, list: "breeds", autocomplete: "off", spellcheck: "false",
        onchange: () => this.relabel(), onkeydown: (event) => this.onInputKey(event) });
      this.field = el("div", { class: "label-field" }, el("label", { for: id }, "Label"), this.input);
    }
    return el("div", { class: "decisions" }, this.field ?? null, ...buttons);
  }

  keepText() {
    const { kind } = this.finding;
    if (kind === "labels") return `Keep ${this.page.plan.initial.get(this.file).label}`;
    return { 1: "Keep", 2: "Keep both" }[this.finding.images.length] ?? "Keep all";
  }

  get file() { return this.decidable[0]?.file; }

  accept() {
    const { suggestion } = this.finding;
    if (suggestion) this.choose(suggestion);
    else this.page.say("There is no suggestion for this finding.");
  }

  choose({ text, changes }) { this.page.act([this.finding], changes, `${text}.`); }

  keepAll() { if (this.decidable.length) this.page.act([this.finding], keepingOf(this.finding, this.page), "Kept."); }

  removeOne() {
    const focused = this.tiles.findIndex(({ element }) => element.contains(document.activeElement));
    if (this.decidable.length === 1) this.toggle(this.finding.images.findIndex(({ file }) => file === this.file));
    else if (focused >= 0) this.toggle(focused);
    else this.page.say("Press the number of the image to remove.");
  }

  // Remove an image, or keep it if it is removed.
  toggle(index) {
    const image = this.finding.images[index];
    if (!this.decidable.includes(image)) return;
    const { file } = image;
    const decision = this.page.plan.removes(file) ? "keep" : "remove";
    const { name } = this.page.report.files[file];
    this.page.act([this.finding], [[file, { decision }]], decision === "keep" ? `Keep ${name}.` : `Remove ${name}.`);
  }

  relabel() {
    const label = this.input.value.trim();
    if (!label) return this.update([]);
    return this.page.act([this.finding], [[this.file, { decision: "keep", label }]], `New label: ${label}.`);
  }

  onInputKey(event) {
    if (!["Enter", "Escape"].includes(event.key)) return;
    if (event.key === "Escape") this.input.value = this.page.plan.label(this.file);
    this.element.focus({ preventScroll: true }); // a changed field is read by `relabel`
  }

  update() {
    const { plan } = this.page;
    for (const tile of this.tiles) tile.update();
    this.element.classList.toggle("decided", plan.reviewed.has(this.finding.id));
    const kept = this.decidable.some(({ file }) => !plan.removes(file));
    const isLost = this.finding.kind === "duplicates" && !kept && !this.page.isReadOnly;
    this.warning.textContent = isLost ? "No image of this group is kept." : "";
    if (this.input) {
      this.input.value = plan.label(this.file);
      this.field.classList.toggle("changed", plan.relabels(this.file));
    }
  }
}

const RELABELLED_KINDS = ["labels", "novel"];

// An image of a finding with its facts, and a check box if it can be removed.
class Tile {
  constructor(page, card, image, index) {
    const { file, caption, best } = image;
    const { images, report: { files }, plan } = page;
    const facts = files[file];
    Object.assign(this, { page, file, facts });
    const link = images.link(facts);
    const frame = imageFrame(images.url(facts), "", images.missing(facts));
    this.box = card.decidable.includes(image) && el("input", { type: "checkbox", onchange: () => card.toggle(index),
      "aria-label": `Keep image ${index + 1}, ${facts.name}` });
    const number = card.finding.images.length > 1 && el("span", { class: "rank", "aria-hidden": "true" }, String(index + 1));
    this.state = el("span", { "aria-hidden": "true" });
    const text = [["name", fileName(facts.name)], ["folder", facts.folder], ["caption", caption]]
      .filter(([, each]) => each).map(([name, each]) => el("span", { class: name }, each));
    text.splice(facts.folder ? 2 : 1, 0, factsLine(facts));
    this.element = el("li", { class: `image${best ? " best" : ""}` },
      link ? this.link = el("a", { href: link, title: facts.path, onclick: (event) => this.open(event, card, index) },
        el("span", { class: "visually-hidden" }, `Open ${facts.name}`), frame) : frame,
      number || null, el("div", { class: "text" }, ...text),
      this.box ? el("label", { class: "keep" }, this.box, this.state) : null);
  }

  open(event, card, index) {
    const { open } = this.page.images;
    if (!open || !isPlainClick(event)) return;
    event.preventDefault();
    open(card.tiles.map(({ facts, link }) => ({ ...facts, text: factsOf(facts).join(", "), link })), index);
  }

  update() {
    if (!this.box) return;
    const isRemoved = this.page.plan.removes(this.file);
    this.box.checked = !isRemoved;
    this.state.textContent = isRemoved ? "Remove" : "Keep";
    this.element.classList.toggle("removed", isRemoved);
  }
}

function factsOf({ width, height, bytes, date }) {
  const size = width ? `${formatNumber(width)} × ${formatNumber(height)}` : "";
  return [size, bytes ? formatBytes(bytes) : "", date.slice(0, 10)].filter(Boolean);
}

const factsLine = (facts) =>
  el("span", { class: "facts", title: facts.date }, ...factsOf(facts).map((fact) => el("span", {}, fact)));

function formatBytes(bytes) {
  if (bytes < 1000) return `${bytes} B`;
  return bytes < 1e6 ? `${Math.round(bytes / 1000)} kB` : `${(bytes / 1e6).toFixed(1)} MB`;
}

const suggestionOf = (finding) => finding.suggestion?.changes ?? [];
// The changes that keep all images of a finding, with the labels that they have in the dataset.
const keepingOf = (finding, { plan }) => finding.images.filter(({ file, decidable }) => decidable && plan.has(file))
  .map(({ file }) => [file, { decision: "keep", label: plan.initial.get(file).label }]);
