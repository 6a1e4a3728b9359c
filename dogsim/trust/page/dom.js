// Elements of the page and of the saved report. Names of breeds and files are untrusted: they are
// inserted as text, never as markup.

export function el(tag, attributes = {}, ...children) {
  const svg = ["svg", "rect"].includes(tag);
  const element = svg ? document.createElementNS("http://www.w3.org/2000/svg", tag)
    : document.createElement(tag);
  for (const [name, value] of Object.entries(attributes)) {
    if (name.startsWith("on")) element.addEventListener(name.slice(2), value);
    else if (value !== null && value !== false) element.setAttribute(name, value === true ? "" : value);
  }
  element.append(...children.filter((child) => child !== null));
  return element;
}

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

export const formatNumber = (value) => value.toLocaleString("en");
export const counted = (number, noun) => `${formatNumber(number)} ${noun}${number === 1 ? "" : "s"}`;
