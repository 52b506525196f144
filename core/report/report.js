"use strict";
// Everything here is a convenience: without it the page is complete, only not sortable, filtered or pointed at.

const root = document.documentElement;
const all = (selector, within = document) => [...within.querySelectorAll(selector)];
const words = (text) => text.toLowerCase().split(/\s+/).filter(Boolean);
const has = (row, sought) => sought.every((word) => row.textContent.toLowerCase().includes(word));
const element = (tag, properties) => Object.assign(document.createElement(tag), properties);

// Light or dark.
const toggle = document.getElementById("theme");
const remembered = (() => { try { return localStorage.getItem("lab-theme"); } catch { return null; } })();
const preferred = matchMedia("(prefers-color-scheme: dark)").matches ? "dark" : "light";

function show(theme) {
  root.dataset.theme = theme;
  toggle.textContent = theme === "dark" ? "light" : "dark";
  toggle.setAttribute("aria-label", `switch to ${toggle.textContent} mode`);
}
show(remembered || preferred);
toggle.hidden = false;
toggle.addEventListener("click", () => {
  show(root.dataset.theme === "dark" ? "light" : "dark");
  try { localStorage.setItem("lab-theme", root.dataset.theme); } catch { /* a private window: not remembered */ }
});

// Claims by verdict and by words. A section without a claim that fits is out of the way.
const filter = document.getElementById("filter");
const claims = all("tr[data-verdict]");
const chips = all("button", filter);
const sought = filter.querySelector("input");

function filterClaims() {
  const pressed = chips.filter((chip) => chip.getAttribute("aria-pressed") === "true").map((chip) => chip.dataset.verdict);
  const asked = words(sought.value);
  const active = pressed.length > 0 || asked.length > 0;
  for (const claim of claims) {
    claim.hidden = (pressed.length > 0 && !pressed.includes(claim.dataset.verdict)) || !has(claim, asked);
  }
  for (const table of all("table.claims")) table.hidden = active && !table.querySelector("tbody tr:not([hidden])");
  for (const folded of all(".untested-claims")) {
    folded.hidden = active && folded.querySelector("table").hidden;
    folded.open = active && !folded.hidden;
  }
  for (const section of all("section")) section.hidden = active && !section.querySelector("tr[data-verdict]:not([hidden])");
  root.classList.toggle("filtered", active);
  filter.querySelector(".found").textContent = active ? `${claims.filter((claim) => !claim.hidden).length} of ${claims.length} claims` : "";
}

function clearFilter() {
  sought.value = "";
  chips.forEach((chip) => chip.setAttribute("aria-pressed", "false"));
  filterClaims();
}

filter.hidden = claims.length === 0;
filter.addEventListener("submit", (event) => event.preventDefault());
filter.addEventListener("keydown", (event) => { if (event.key === "Escape") clearFilter(); });
sought.addEventListener("input", filterClaims);
for (const chip of chips) {
  chip.addEventListener("click", () => {
    chip.setAttribute("aria-pressed", String(chip.getAttribute("aria-pressed") !== "true"));
    filterClaims();
  });
}

// A square leads to its claim, wherever that is folded or filtered away.
function reveal() {
  const target = location.hash && document.getElementById(decodeURIComponent(location.hash.slice(1)));
  if (!target) return;
  if (target.closest("[hidden]")) clearFilter();
  for (let part = target.closest("details"); part; part = part.parentElement.closest("details")) part.open = true;
  if (target.matches("tr")) target.focus({ preventScroll: true });
  target.scrollIntoView();
}
addEventListener("hashchange", reveal);
document.addEventListener("click", (event) => {
  if (location.hash && event.target.closest("a")?.hash === location.hash) reveal(); // once more: the address stays
});
if (location.hash) reveal();

// The value under the mouse, or, with the plot in focus, under the arrow keys.
const tip = document.getElementById("tip");
const NEAR = 26; // points of a plot

function pointAt(plot, ring, series, spot) {
  const [x, y, said] = spot;
  ring.setAttribute("cx", x);
  ring.setAttribute("cy", y);
  ring.setAttribute("stroke", series[1]);
  ring.style.display = "";
  tip.replaceChildren(element("strong", { textContent: series[0] }), element("span", { textContent: said }));
  tip.hidden = false;
  const at = new DOMPoint(x, y).matrixTransform(plot.getScreenCTM());
  const box = tip.getBoundingClientRect();
  const left = Math.max(4, Math.min(at.x - box.width / 2, root.clientWidth - box.width - 4));
  const top = at.y - box.height - 12 < 4 ? at.y + 14 : at.y - box.height - 12;
  tip.style.left = `${left + scrollX}px`;
  tip.style.top = `${top + scrollY}px`;
}

for (const plot of all("svg[data-spots]")) {
  const lines = JSON.parse(plot.dataset.spots).filter((series) => series[2].length);
  if (!lines.length) continue;
  const ring = document.createElementNS("http://www.w3.org/2000/svg", "circle");
  ring.setAttribute("r", 5);
  ring.setAttribute("class", "ring");
  ring.style.display = "none";
  plot.append(ring);
  plot.tabIndex = 0;
  let [line, place] = [0, 0];
  const away = () => { ring.style.display = "none"; tip.hidden = true; };
  const go = () => pointAt(plot, ring, lines[line], lines[line][2][place]);
  const nearest = (spots, x, y) => spots.reduce((best, spot, n) => {
    const distance = Math.hypot(spot[0] - x, spot[1] - y);
    return distance < best[0] ? [distance, n] : best;
  }, [Infinity, 0]);
  const point = (event) => {
    const at = new DOMPoint(event.clientX, event.clientY).matrixTransform(plot.getScreenCTM().inverse());
    const found = lines.map((series) => nearest(series[2], at.x, at.y));
    const best = found.reduce((a, b, n) => (b[0] < found[a][0] ? n : a), 0);
    if (found[best][0] > NEAR) return away();
    [line, place] = [best, found[best][1]];
    go();
  };
  plot.addEventListener("pointermove", point);
  plot.addEventListener("pointerdown", point);
  plot.addEventListener("pointerleave", (event) => { if (event.pointerType !== "touch") away(); });
  document.addEventListener("pointerdown", away, true); // before the plot that is touched shows its own
  plot.addEventListener("blur", away);
  plot.addEventListener("focus", () => { if (plot.matches(":focus-visible")) go(); });
  plot.addEventListener("keydown", (event) => {
    const [dx, dy] = { ArrowLeft: [-1, 0], ArrowRight: [1, 0], ArrowUp: [0, -1], ArrowDown: [0, 1] }[event.key] || [0, 0];
    if (event.key === "Escape") away();
    if (!dx && !dy) return;
    event.preventDefault();
    const spots = lines[line][2];
    if (dx && spots.length > 1) {
      place = Math.min(spots.length - 1, Math.max(0, place + dx));
    } else { // to the next line, at the place nearest to this one; a line of one value is left by any arrow
      const [x] = spots[place];
      line = (line + (dx || dy) + lines.length) % lines.length;
      place = nearest(lines[line][2].map((spot) => [spot[0], 0]), x, 0)[1];
    }
    go();
  });
}

// A plot as a file of its own, in black on white.
function alone(plot) {
  const copy = plot.cloneNode(true);
  const [, , width, height] = plot.getAttribute("viewBox").split(" ").map(Number);
  copy.querySelector(".ring")?.remove();
  for (const name of ["tabindex", "data-spots"]) copy.removeAttribute(name);
  copy.setAttribute("xmlns", "http://www.w3.org/2000/svg");
  copy.setAttribute("width", `${width}pt`);
  copy.setAttribute("height", `${height}pt`);
  copy.setAttribute("style", "stroke-linejoin: round");
  const text = new XMLSerializer().serializeToString(copy).replaceAll("currentColor", "#1c2126");
  return { text, width, height };
}

function save(blob, name) {
  const link = element("a", { href: URL.createObjectURL(blob), download: name });
  link.click();
  setTimeout(() => URL.revokeObjectURL(link.href), 10000);
}

async function savePng(plot, name) {
  const { text, width, height } = alone(plot);
  const image = new Image();
  image.setAttribute("src", `data:image/svg+xml;charset=utf-8,${encodeURIComponent(text)}`);
  await image.decode();
  const canvas = element("canvas", { width: Math.round(width * 10 / 3), height: Math.round(height * 10 / 3) }); // 240 dpi
  const paper = canvas.getContext("2d");
  paper.fillStyle = "#fff";
  paper.fillRect(0, 0, canvas.width, canvas.height);
  paper.drawImage(image, 0, 0, canvas.width, canvas.height);
  canvas.toBlob((blob) => save(blob, `${name}.png`), "image/png");
}

for (const kinds of all(".kinds")) {
  const plot = kinds.closest("figure").querySelector("svg");
  const { name } = kinds.dataset;
  const button = (label, act) => {
    const made = element("button", { type: "button", className: "link", textContent: label });
    made.setAttribute("aria-label", `save ${plot.getAttribute("aria-label")} as ${label}`);
    made.addEventListener("click", act);
    kinds.append(made);
  };
  button("PNG", () => savePng(plot, name));
  button("SVG", () => save(new Blob([alone(plot).text], { type: "image/svg+xml" }), `${name}.svg`));
}

// A sentence, BibTeX and commands, to be taken along.
for (const quoted of all(".quoted")) {
  const button = element("button", { type: "button", className: "copy", textContent: "copy" });
  const text = quoted.firstElementChild;
  button.addEventListener("click", async () => {
    try {
      await navigator.clipboard.writeText(text.textContent.trim());
      button.textContent = "copied";
    } catch { // not allowed here: the text is selected, so that the keys copy it
      getSelection().selectAllChildren(text);
      button.textContent = "selected";
    }
    setTimeout(() => { button.textContent = "copy"; }, 2000);
  });
  quoted.append(button);
}

// Rows are sorted inside their tier: no compiled kernel is ranked beside a Python loop.
function sortBy(table, column, ascending) {
  const key = (row) => row.cells[column]?.dataset.sort ?? "";
  const compare = (a, b) => {
    const [x, y] = [key(a), key(b)];
    const [m, n] = [parseFloat(x), parseFloat(y)];
    const empty = (text, number) => text === "" || (text === "nan" && Number.isNaN(number));
    if (empty(x, m) || empty(y, n)) return empty(x, m) - empty(y, n);
    const order = Number.isNaN(m) || Number.isNaN(n) ? x.localeCompare(y) : m - n;
    return ascending ? order : -order;
  };
  for (const body of table.tBodies) {
    body.append(...[...body.rows].filter((row) => !row.classList.contains("tier")).sort(compare));
  }
}

for (const table of all("table.sortable")) {
  const heads = [...table.tHead.rows[0].cells];
  heads.forEach((head, column) => {
    const button = element("button", { type: "button" });
    button.append(...head.childNodes);
    head.append(button);
    button.addEventListener("click", () => {
      const ascending = head.getAttribute("aria-sort") !== "ascending";
      heads.forEach((other) => other.removeAttribute("aria-sort"));
      head.setAttribute("aria-sort", ascending ? "ascending" : "descending");
      sortBy(table, column, ascending);
    });
  });
  const tools = table.parentElement.previousElementSibling;
  const rows = all("tbody tr:not(.tier)", table);
  tools.hidden = rows.length < 8;
  tools.querySelector("input").addEventListener("input", (event) => {
    const asked = words(event.target.value);
    for (const row of rows) row.hidden = !has(row, asked);
    const shown = rows.filter((row) => !row.hidden).length;
    tools.querySelector(".found").textContent = asked.length ? `${shown} of ${rows.length} rows` : "";
  });
}

// What is folded is printed, and folded again.
let unfolded = [];
addEventListener("beforeprint", () => {
  unfolded = all("details:not([open])");
  unfolded.forEach((part) => { part.open = true; });
});
addEventListener("afterprint", () => unfolded.forEach((part) => { part.open = false; }));
