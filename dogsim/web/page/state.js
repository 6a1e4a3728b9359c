// What the views share: the dataset, and the state of the page, which is in its URL.

export const $ = (id) => document.getElementById(id);
export const VIEWS = ["ask", "browse", "judging", "audit"];
export const shared = {
  dataset: null, // the breeds and limits: `data.dataset`
  status: {}, // of the network and the calibration: `data.status`
};
let latestRequest = 0;

// Start a request. Return a function that tells whether no other request has started since: the
// response to an older one is ignored.
export function startRequest() {
  const request = ++latestRequest;
  return () => request === latestRequest;
}

export function currentState() {
  const { most_k: maxK, metrics } = shared.dataset;
  const parameters = new URLSearchParams(location.search);
  const integer = (name) => (/^\d+$/.test(parameters.get(name) ?? "") ? Number(parameters.get(name)) : null);
  const [view, metric] = [parameters.get("view"), parameters.get("metric")];
  return {
    view: VIEWS.includes(view) ? view : "ask",
    row: integer("row"),
    query: parameters.get("query"),
    label: parameters.has("label") ? Number(parameters.get("label")) : null,
    k: Math.min(Math.max(integer("k") ?? 20, 1), maxK),
    metric: metrics.includes(metric) ? metric : metrics[0],
  };
}

export function urlWith(changes) {
  const { k, metric } = currentState();
  const parameters = new URLSearchParams();
  for (const [name, value] of Object.entries({ k, metric, ...changes })) {
    if (value !== null && value !== undefined) parameters.set(name, value);
  }
  return `?${parameters}`;
}

// Change the URL; the page listens to the event and draws the new state.
export function navigate(url, replace = false) {
  history[replace ? "replaceState" : "pushState"](null, "", url);
  dispatchEvent(new Event("statechange"));
}

export const formatPercent = (fraction) => `${(100 * fraction).toFixed(1)}\u00a0%`;
export const formatDistance = (distance) => distance.toPrecision(3);

// A fraction as a percentage that is rounded down and never 100 %.
export function percentBelow(fraction) {
  const hundredths = Math.round(fraction * 10_000);
  return hundredths < 9900 ? `${Math.floor(hundredths / 100)}\u00a0%`
    : `${(Math.min(Math.floor(hundredths / 10), 999) / 10).toFixed(1)}\u00a0%`;
}
