// The plan of an audit, and what its reader changed in it: a list of actions, so that each can be
// undone. The list is kept in the browser's localStorage, and the current decisions follow from it.

const MAX_STORED_PLANS = 20; // the oldest are removed
const STORAGE_PREFIX = "dogsim-plan-";
const JOINERS = "\u200c\u200d"; // printable, although Unicode counts them as controls

export class Plan {
  // `columns` and `rows` are those of plan.csv; a row has the index of its file, the file's label, and
  // its cells as text.
  constructor({ id, columns, rows }) {
    this.columns = columns;
    this.rows = rows;
    this.key = STORAGE_PREFIX + id;
    const decision = columns.indexOf("decision");
    this.initial = new Map(rows.map(({ file, label, cells }) => [file, { decision: cells[decision], label }]));
    this.read();
  }

  // Whether an image has a decision: images of a test set have none.
  has(file) { return this.initial.has(file); }
  removes(file) { return this.current.get(file)?.decision === "remove"; }
  label(file) { return this.current.get(file)?.label ?? ""; }
  relabels(file) { return this.label(file) !== (this.initial.get(file)?.label ?? ""); }

  // Do what a reader decided on some findings: changes are [file, { decision, label }].
  act(findings, changes) {
    this.actions.push({ findings, changes });
    this.compute();
    this.write();
  }

  // Take back the last action and return it.
  undo() {
    const action = this.actions.pop();
    this.compute();
    this.write();
    return action;
  }

  compute() {
    this.current = new Map(this.initial);
    this.reviewed = new Set();
    for (const { findings, changes } of this.actions) {
      for (const finding of findings) this.reviewed.add(finding);
      for (const [file, change] of changes) this.current.set(file, { ...this.current.get(file), ...change });
    }
  }

  get removed() { return [...this.current.keys()].filter((file) => this.removes(file)).length; }
  get relabelled() { return [...this.current.keys()].filter((file) => this.relabels(file)).length; }

  read() {
    this.actions = [];
    try {
      this.actions = JSON.parse(stored(this.key)).actions;
    } catch { /* nothing is stored, or not what `write` wrote */ }
    this.compute();
  }

  // `isStored` is false if the browser keeps nothing: then a reload loses the changes.
  write() {
    this.isStored = store(this.key, JSON.stringify({ time: Date.now(), actions: this.actions }));
    if (this.isStored) removeOldPlans(this.key);
  }

  // The text of plan.csv, as `dogsim audit --save` writes it.
  csv() {
    const lines = this.rows.map(({ file, cells }) => cells.map((cell, i) => {
      const { decision, label } = this.current.get(file);
      if (this.columns[i] === "decision") return decision;
      return this.columns[i] === "label" && this.relabels(file) ? exactCell(label) : cell;
    }));
    return [this.columns, ...lines].map((line) => `${line.map(quoted).join(",")}\r\n`).join("");
  }
}

// Return what localStorage holds under a name, null if it has nothing or is not available.
export function stored(name) {
  try {
    return localStorage.getItem(name);
  } catch {
    return null;
  }
}

// Store a text, or remove it if it is null; return whether that is possible.
export function store(name, text) {
  try {
    if (text === null) localStorage.removeItem(name);
    else localStorage.setItem(name, text);
    return true;
  } catch {
    return false;
  }
}

function removeOldPlans(key) {
  const keys = Object.keys(localStorage).filter((each) => each.startsWith(STORAGE_PREFIX) && each !== key);
  const timeOf = (each) => JSON.parse(localStorage.getItem(each)).time;
  const newest = keys.sort((one, other) => timeOf(other) - timeOf(one));
  for (const old of newest.slice(MAX_STORED_PLANS - 1)) localStorage.removeItem(old);
}

const quoted = (cell) => (/[",\r\n]/.test(cell) ? `"${cell.replaceAll('"', '""')}"` : cell);

// A text as a cell from which it is restored exactly, and that no spreadsheet evaluates as a formula:
// `exact_cell` of dogsim.
function exactCell(text) {
  const line = [...text].map((letter) => (isPrintable(letter) ? letter : escaped(letter))).join("");
  return /^'*[=+@-]/.test(line) ? `'${line}` : line;
}

const isPrintable = (letter) => letter === " " || JOINERS.includes(letter) || !/[\p{C}\p{Z}\\]/u.test(letter);

function escaped(letter) {
  const hex = letter.codePointAt(0).toString(16);
  if (letter === "\\") return "\\\\";
  if (hex.length <= 2) return `\\x${hex.padStart(2, "0")}`;
  return hex.length <= 4 ? `\\u${hex.padStart(4, "0")}` : `\\U${hex.padStart(8, "0")}`;
}
