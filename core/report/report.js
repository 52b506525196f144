"use strict";
// Everything here is a convenience: without it the page is complete, only not sortable.

const root = document.documentElement;
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

for (const table of document.querySelectorAll("table.sortable")) {
  const heads = [...table.tHead.rows[0].cells];
  heads.forEach((head, column) => {
    const button = document.createElement("button");
    button.type = "button";
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
  const rows = [...table.querySelectorAll("tbody tr:not(.tier)")];
  tools.hidden = rows.length < 8;
  tools.querySelector("input").addEventListener("input", (event) => {
    const words = event.target.value.toLowerCase().split(/\s+/).filter(Boolean);
    for (const row of rows) row.hidden = !words.every((word) => row.textContent.toLowerCase().includes(word));
    const shown = rows.filter((row) => !row.hidden).length;
    tools.querySelector(".found").textContent = words.length ? `${shown} of ${rows.length} rows` : "";
  });
}

addEventListener("beforeprint", () => document.querySelectorAll("details").forEach((part) => { part.open = true; }));
