// Reports that the server computes once, at the first request: wait for one and show the progress.

import { counted, el } from "./dom.js";
import { startRequest } from "./state.js";

const POLL_MILLISECONDS = 1000;

// Return the report, or null if the view has changed meanwhile or there was an error.
export async function pollReport(get, view, title, introduction) {
  document.title = `${title} – dogsim`;
  const isLatest = startRequest();
  const progress = el("p", { role: "status" }, "Computing; this happens only once …");
  view.replaceChildren(el("h1", {}, title), el("p", { class: "introduction" }, introduction), progress);
  try {
    for (let report = await get(); ; report = await get()) {
      if (!isLatest()) return null;
      if (!report.working) return report;
      if (report.progress) renderProgress(progress, report.progress);
      await sleep(POLL_MILLISECONDS);
    }
  } catch (error) {
    view.lastChild.textContent = error.message;
    return null;
  }
}

function renderProgress(element, { what, fraction, seconds_left: seconds }) {
  if (fraction === 1) return element.replaceChildren("Computing the next step …");
  const bar = element.querySelector("progress") ?? el("progress", { max: 1, "aria-label": "Progress" });
  bar.value = fraction;
  const left = seconds === null ? "" : `, ${seconds < 60 ? counted(Math.ceil(seconds), "second")
    : counted(Math.ceil(seconds / 60), "minute")} left`;
  element.setAttribute("aria-live", "off"); // a screen reader would read it every second
  return element.replaceChildren(bar, ` ${what}: ${Math.floor(100 * fraction)}\u00a0%${left}`);
}

export const sleep = (milliseconds) => new Promise((resolve) => setTimeout(resolve, milliseconds));
