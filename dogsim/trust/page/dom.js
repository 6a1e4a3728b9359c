// Elements of the page and of the saved report. Names of breeds and files are untrusted: they are
// inserted as text, never as markup.

const SVG_TAGS = ["svg", "rect", "path", "line", "text", "title"];
const FILE_END_LETTERS = 9; // of a long name, that always show

export function el(tag, attributes = {}, ...children) {
  const svg = SVG_TAGS.includes(tag);
  const element = svg ? document.createElementNS("http://www.w3.org/2000/svg", tag)
    : document.createElement(tag);
  for (const [name, value] of Object.entries(attributes)) {
    if (name.startsWith("on")) element.addEventListener(name.slice(2), value);
    else if (value !== null && value !== false) element.setAttribute(name, value === true ? "" : value);
  }
  element.append(...children.filter((child) => child !== null));
  return element;
}

// Whether a click asks to open its target here, and not in a new tab or window.
export const isPlainClick = (event) =>
  !(event.ctrlKey || event.metaKey || event.shiftKey || event.altKey || event.button);

export function imageFrame(url, alt, missing = "The image is missing.") {
  const note = () => el("span", { class: "missing" }, missing);
  if (url === null) return el("div", { class: "frame" }, note());
  const image = el("img", { src: url, alt, loading: "lazy", decoding: "async" });
  const frame = el("div", { class: "frame" }, image);
  image.addEventListener("error", () => {
    image.remove();
    frame.append(note());
  });
  return frame;
}

// The name of a file. The middle of a long one is left out: names differ most at their ends.
export function fileName(name) {
  const letters = [...name];
  if (letters.length <= FILE_END_LETTERS) return el("span", { class: "file-name", title: name }, name);
  const [start, end] = [letters.slice(0, -FILE_END_LETTERS), letters.slice(-FILE_END_LETTERS)];
  return el("span", { class: "file-name", title: name },
    el("span", { class: "start" }, start.join("")), el("span", {}, end.join("")));
}

export const formatNumber = (value) => value.toLocaleString("en");
export const counted = (number, noun) => `${formatNumber(number)} ${noun}${number === 1 ? "" : "s"}`;
