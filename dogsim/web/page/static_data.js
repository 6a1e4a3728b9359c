// The data of an exported page, which opens from a folder: a browser does not let it send requests,
// but it can add scripts. Each file of data/ calls `dogsimData` with its name and content
// (dogsim/web/export.py). The functions are those of data.js.

import { el } from "./dom.js";

const ROWS_AT_A_TIME = 60;
const MAX_LOADED_ANSWERS = 40; // files of answers in memory
const files = new Map(); // promises of contents, by name
const received = new Map(); // functions that resolve them

window.dogsimData = (name, content) => received.get(name)?.(content);

async function report(name) {
  const content = await load(name);
  if (content.error) throw new Error(content.error);
  return content;
}

// Return the content of a file of data/.
function load(name) {
  if (!files.has(name)) {
    files.set(name, new Promise((resolve, reject) => {
      received.set(name, resolve);
      const onerror = () => {
        files.delete(name);
        reject(new Error(`data/${name}.js is missing: copy the whole folder.`));
      };
      const script = el("script", { src: `data/${name}.js`, onload: () => script.remove(), onerror });
      document.head.append(script);
    }));
  }
  return files.get(name);
}

async function loadAnswers(name) {
  const loaded = [...files.keys()].filter((each) => each.startsWith("answers-"));
  if (!loaded.includes(name) && loaded.length >= MAX_LOADED_ANSWERS) files.delete(loaded[0]);
  return load(name);
}

// Return a function from a row to its row, breed, label and path, as the API returns them.
async function rowsByNumber() {
  const [{ breeds }, { labels, paths }] = await Promise.all([load("dataset"), load("rows")]);
  const names = new Map(breeds.map(({ label, breed }) => [label, breed]));
  return (row) => ({ row, breed: names.get(labels[row]), label: labels[row], path: paths[row] });
}

let missing = new Set(); // rows without a thumbnail

export const data = {
  isStatic: true, // it has neither uploads nor explanations, and one distance and one k

  async dataset() {
    const dataset = await load("dataset");
    missing = new Set(dataset.missing);
    return dataset;
  },

  status: () => load("status"),

  async rows(label, start) {
    const [{ labels }, rowOf] = await Promise.all([load("rows"), rowsByNumber()]);
    const rows = labels.flatMap((each, row) => (each === label ? [row] : []));
    return { number: rows.length, rows: rows.slice(start, start + ROWS_AT_A_TIME).map(rowOf) };
  },

  async answer({ row }) {
    const { images, answers_per_file: size } = await load("dataset");
    if (row === null) throw new Error("An uploaded photo is not part of an exported page.");
    if (row >= images) throw new Error(`Received row ${row}. Expected 0 to ${images - 1}.`);
    const [rowOf, answers] = await Promise.all([rowsByNumber(), loadAnswers(`answers-${Math.floor(row / size)}`)]);
    const { neighbours: columns, ...answer } = answers[row % size];
    const neighbours = columns.row.map((each, i) => Object.fromEntries([...Object.entries(rowOf(each)),
      ...Object.entries(columns).map(([name, values]) => [name, values[i]])]));
    return { ...answer, row: rowOf(row), query: null, neighbours };
  },

  evaluation: () => report("evaluation"),
  audit: () => report("audit"),

  imageUrl: (row) => (missing.has(row) ? null : `thumbnails/${Math.floor(row / 1000)}/${row}.jpg`),
  queryImageUrl: ({ row }) => (row === null ? null : data.imageUrl(row)),
  originalUrl: () => null,
};
