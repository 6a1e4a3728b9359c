// The answer box: the prediction set in words, its confidence, warnings and the vote.

import { counted, el } from "./dom.js";
import { formatPercent, shared } from "./state.js";

const MAX_BARS_OF_ANSWER = 5; // the breeds that the text of the answer names

export function answerElements(answer) {
  const text = answer.unknown ? unknownElements(answer)
    : answer.votes ? breedElements(answer) : unlabelledElements();
  return [...text, ...warnings(answer), ...notes(answer), ...votes(answer)];
}

const paragraph = (text, name = null) => el("p", { class: name }, text);
const known = () => shared.dataset.breeds.filter(({ label }) => label >= 0).length;

// Some breeds, or one: the promise holds for images of the breeds of the dataset only.
function breedElements(answer) {
  const title = el("h1", {}, answer.words);
  if (!answer.promise) return [title];
  const first = answer.breeds.length > 1 ? " The likeliest breed is first." : "";
  const of = shared.dataset.coverage === "breed" ? "Of the photos of each breed" : "Of the photos of all breeds";
  return [title, paragraph(`${answer.promise}.${first}`, answer.flags.length ? "promise" : "promise confidence"),
    meaning(`“These breeds” are the ${counted(known(), "breed")} of this dataset, and the photo is like its photos. `
      + `${of}, such answers contain the right one with a probability of ${formatPercent(shared.dataset.confidence)}. `
      + "The harder a photo is, the more breeds an answer names.")];
}

function unknownElements(answer) {
  return [el("h1", { class: "unknown" }, "None of the breeds of this dataset is likely"),
    paragraph(answer.votes ? `Nearest: ${answer.breed}, with ${answer.votes} of ${counted(answer.k, "vote")}.`
      : "The nearest images have no breed."),
    meaning(`Of the images of this dataset, ${formatPercent(answer.novelty_p)} are as far from the others as this one, `
      + "or farther. Below 5 % the answer is “none”.")];
}

function unlabelledElements() {
  return [el("h1", {}, known() ? "The nearest images have no breed" : "The images of this dataset have no breeds"),
    paragraph("Images without a breed do not vote.")];
}

const meaning = (text) => el("details", { class: "meaning" }, el("summary", {}, "What does this mean?"), paragraph(text));

function warnings(answer) {
  const lines = [];
  if (answer.flag_text) lines.push(`Expect a worse answer: ${answer.flag_text}.`);
  if (answer.difference) lines.push(`Photos so far: ${answer.difference}.`);
  return lines.map((line) => paragraph(line, "flag"));
}

function notes(answer) {
  const lines = [];
  if (answer.row) {
    lines.push(answer.row.label < 0 ? "In the dataset, without a breed."
      : `In the dataset as ${answer.row.breed}; it does not vote on itself.`);
  }
  if (answer.votes && answer.votes === answer.runner_up_votes) {
    lines.push(`The vote is a tie. Of the tied breeds, ${answer.breed} has the nearest image.`);
  }
  if (answer.votes && answer.breeds && !answer.unknown && !answer.breeds.includes(answer.breed)) {
    lines.push(`The answer is “${answer.words}”, although ${answer.breed} wins the vote below: for the answer, near `
      + "images have more weight, and the means of the breeds vote, too.");
  }
  if (answer.breeds === null && known()) lines.push(missingConfidenceText());
  return lines.map((line) => paragraph(line, "note"));
}

function missingConfidenceText() {
  const { calibration, calibration_problem: problem } = shared.status;
  return calibration === "failed" ? `The confidence of the answers is unknown: ${problem}`
    : "The confidence of the answers is still being computed.";
}

// The votes of the two breeds with most votes and of the breeds of the answer, which may have none.
function votes(answer) {
  if (!answer.votes) return [];
  const voted = answer.neighbours.filter(({ label }) => label >= 0).map(({ breed }) => breed);
  const counts = new Map([[answer.breed, answer.votes]]);
  if (answer.runner_up) counts.set(answer.runner_up, answer.runner_up_votes);
  for (const breed of answer.unknown ? [] : (answer.breeds ?? []).slice(0, MAX_BARS_OF_ANSWER)) {
    if (!counts.has(breed)) counts.set(breed, voted.filter((each) => each === breed).length);
  }
  const bars = [...counts].sort(([, one], [, other]) => other - one).map(([breed, count]) =>
    el("li", {}, el("span", {}, breed), el("span", {}, `${count} of ${counted(answer.k, "vote")}`),
      el("meter", { min: 0, max: answer.k, value: count, "aria-label": `votes for ${breed}` })));
  const rest = voted.length - [...counts.values()].reduce((sum, count) => sum + count);
  return [paragraph("The vote of the nearest images:", "note"),
    el("ul", { class: "votes", "aria-label": "Votes of the nearest images" }, ...bars),
    ...(rest > 0 ? [paragraph(`${counted(rest, "vote")} for other breeds.`, "note")] : [])];
}
