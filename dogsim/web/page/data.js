// The data of the page, from the HTTP API of the server (docs/page-and-api.md). Nothing else sends
// requests; an exported page has static_data.js instead. A query is { row, query }: a row of the
// dataset, or the name of an uploaded image.

const ROWS_AT_A_TIME = 60;
const MAX_EXPLANATIONS = 50; // in the cache
const explanations = new Map(); // by path

export const data = {
  isStatic: false,
  dataset: () => api("/api/dataset"),
  status: () => api("/api/status"),
  rows: (label, start) => api(`/api/rows?label=${label}&start=${start}&count=${ROWS_AT_A_TIME}`),
  answer: (query) => api(`/api/answer?${queryParameters(query, { k: query.k })}`),
  evaluation: () => api("/api/judging"), // `working` until it is computed
  audit: () => api("/api/audit"), // `working` until it is computed

  // The row of an uploaded image if the dataset has the same file, else its name.
  upload: (file) => api("/api/queries", { method: "POST", body: file, headers: { "X-Dogsim": "1" } }),

  // What a query has in common with row `other`, and where the distance comes from.
  async explanation(query, other, signal) {
    const path = `/api/explanation?${queryParameters(query, { other })}`;
    if (!explanations.has(path)) {
      if (explanations.size > MAX_EXPLANATIONS) explanations.clear();
      explanations.set(path, await api(path, { signal }));
    }
    return explanations.get(path);
  },

  // URLs of images; the longer side of an image of the dataset has at most `size` pixels: 160, 320 or 640.
  imageUrl: (row, size) => `/api/pictures/${row}?size=${size}`,
  originalUrl: (row) => `/api/pictures/${row}/original`, // null if there is none
  queryImageUrl: ({ row, query }, size) =>
    (row === null ? `/api/queries/${encodeURIComponent(query)}/picture` : data.imageUrl(row, size)),
};

async function api(path, options = {}) {
  let response;
  try {
    response = await fetch(path, options);
  } catch (error) {
    if (error.name === "AbortError") throw error;
    throw new Error("dogsim does not answer. Is it still running?");
  }
  const payload = await response.json();
  if (!response.ok) throw Object.assign(new Error(payload.error), { status: response.status });
  return { ...payload, working: response.status === 202 };
}

function queryParameters({ row, query, metric }, more) {
  const parameters = new URLSearchParams({ ...more, metric });
  parameters.set(...(row === null ? ["query", query] : ["row", row]));
  return parameters;
}
