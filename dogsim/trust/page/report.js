// The saved report of an audit: its findings and thumbnails are in the page, which loads nothing.

import { showFindings } from "./findings.js";

const report = JSON.parse(document.getElementById("report").textContent);
showFindings(document.getElementById("findings"), report, {
  url: ({ thumbnail }) => (thumbnail ? `data:image/jpeg;base64,${thumbnail}` : null),
  link: ({ link }) => link,
  missing: (file) => (file.unread ? "The image cannot be read." : "Not among the thumbnails of this report."),
});
