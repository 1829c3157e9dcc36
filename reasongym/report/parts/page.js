"use strict";
// The page's own behaviour: suites, sorting, what lies under the pointer. Text is only ever set as text.

const element = (name, attributes = {}, ...children) => {
  const made = document.createElement(name);
  for (const [key, value] of Object.entries(attributes)) made.setAttribute(key, value);
  made.append(...children.filter((child) => child !== null && child !== undefined && child !== ""));
  return made;
};
const one = (selector, root = document) => root.querySelector(selector);
const all = (selector, root = document) => [...root.querySelectorAll(selector)];

const showSuite = (key) => {
  for (const article of all("article.suite")) article.hidden = article.id !== key;
  for (const tab of all('[role="tab"]')) tab.setAttribute("aria-selected", String(tab.id === `tab-${key}`));
  for (const link of all("[data-section]")) link.href = `#${key}-${link.dataset.section}`;
};
for (const tab of all('[role="tab"]')) tab.addEventListener("click", () => showSuite(tab.id.slice(4)));
if (one('[role="tab"]')) showSuite(one("article.suite").id);

const sortBy = (table, column, header) => {
  const falling = header.getAttribute("aria-sort") !== "descending" && !header.classList.contains("name");
  const down = header.classList.contains("name") ? header.getAttribute("aria-sort") === "ascending" : falling;
  for (const other of all("th", table.tHead)) other.removeAttribute("aria-sort");
  header.setAttribute("aria-sort", down ? "descending" : "ascending");
  const value = (row) => row.cells[column].dataset.sort ?? row.cells[column].textContent.trim();
  const rows = [...table.tBodies[0].rows].sort((a, b) => {
    const [x, y] = [value(a), value(b)];
    return Number.isNaN(Number(x)) ? x.localeCompare(y) : x - y;
  });
  table.tBodies[0].append(...(down ? rows.reverse() : rows));
};
for (const table of all("table.sortable")) {
  [...table.tHead.rows[0].cells].forEach((header, column) => {
    if (header.hasAttribute("data-nosort")) return;
    header.tabIndex = 0;
    header.addEventListener("click", () => sortBy(table, column, header));
    header.addEventListener("keydown", (event) => event.key === "Enter" && sortBy(table, column, header));
  });
}

// Pointing at a name brings out its curves in the pictures that the legend belongs to.
for (const legend of all(".legend")) {
  const scope = legend.closest(".card") ?? legend.parentElement;
  for (const chip of all(".chip", legend)) {
    chip.addEventListener("pointerenter", () => {
      scope.classList.add("dimmed");
      for (const curve of all("[data-series]", scope)) curve.classList.toggle("lit", curve.dataset.series === chip.dataset.chip);
    });
    chip.addEventListener("pointerleave", () => scope.classList.remove("dimmed"));
  }
}

// What lies under the pointer: the curves' values at the nearest place.
const tip = element("div", { class: "tip", "aria-hidden": "true", hidden: "" });
document.body.append(tip);
const number = (value) => (Math.abs(value) >= 1e6 ? `${(value / 1e6).toPrecision(3)}M` : Math.abs(value) >= 1e4 ? `${(value / 1e3).toPrecision(3)}k` : String(Number(value.toPrecision(3))));
const valueAt = (line, x) => {
  const after = line.x.findIndex((known) => known >= x);
  if (after < 0 || x < line.x[0]) return null;
  if (after === 0) return line.y[0];
  const [x0, x1, y0, y1] = [line.x[after - 1], line.x[after], line.y[after - 1], line.y[after]];
  return x1 === x0 ? y1 : y0 + ((y1 - y0) * (x - x0)) / (x1 - x0);
};
for (const plot of all("svg.plot")) {
  const places = JSON.parse(plot.dataset.places);
  if (!places.length) continue;
  const scope = plot.closest(".card");
  const names = new Map(all(".chip", one(".legend", scope) ?? one(".legend", scope.closest("section"))).map((chip) => [Number(chip.dataset.chip), chip]));
  plot.addEventListener("pointerleave", () => { tip.hidden = true; });
  plot.addEventListener("pointermove", (event) => {
    const box = plot.getBoundingClientRect(), scale = plot.viewBox.baseVal.width / box.width;
    const [px, py] = [(event.clientX - box.left) * scale, (event.clientY - box.top) * scale];
    const panel = places.find(({ frame: [x, y, w, h] }) => px >= x && px <= x + w && py >= y && py <= y + h);
    tip.hidden = !panel;
    if (!panel) return;
    const at = panel.limits[0] + ((px - panel.frame[0]) / panel.frame[2]) * (panel.limits[1] - panel.limits[0]);
    const found = panel.series.map((line) => [line.place, valueAt(line, at)]).filter(([, value]) => value !== null).sort((a, b) => b[1] - a[1]);
    tip.hidden = !found.length;
    tip.replaceChildren(element("b", {}, `${number(at)} ${panel.unit}`));
    for (const [place, value] of found.slice(0, 12)) {
      const chip = names.get(place);
      if (chip) tip.append(element("div", {}, chip.firstElementChild.cloneNode(), chip.textContent, element("span", {}, number(value))));
    }
    tip.style.left = `${Math.min(event.clientX + 16, innerWidth - tip.offsetWidth - 8)}px`;
    tip.style.top = `${Math.max(8, event.clientY - tip.offsetHeight - 12)}px`;
  });
}
