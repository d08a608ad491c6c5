"use strict";
const all = (selector, root = document) => [...root.querySelectorAll(selector)];
for (const part of all(".tools, .scripted")) part.hidden = false;
for (const part of all("details[data-wide]")) part.open = innerWidth > 640; // a phone has no room

// Sorting: a click on a header sorts each part of the table; cells without a value stay last.
for (const table of all("table.sortable, .sortable table.sheet")) {
  const heads = all("thead tr:last-child th", table);
  heads.forEach((head, index) => {
    const button = document.createElement("button");
    button.type = "button";
    button.append(...head.childNodes);
    head.append(button);
    button.addEventListener("click", () => {
      const order = head.getAttribute("aria-sort") === "descending" ? "ascending" : "descending";
      heads.forEach((other) => other.removeAttribute("aria-sort"));
      head.setAttribute("aria-sort", order);
      const sign = order === "ascending" ? 1 : -1;
      const key = (row) => {
        const cell = row.cells[index];
        if (cell.dataset.value !== undefined) return Number(cell.dataset.value);
        const text = cell.textContent.trim();
        return cell.dataset.number !== undefined || text === "" ? null : text;
      };
      for (const body of table.tBodies) {
        const rows = [...body.rows].map((row) => [key(row), row]);
        rows.sort(([a], [b]) => {
          if (a === null || b === null) return (a === null) - (b === null);
          return sign * (typeof a === "number" && typeof b === "number"
            ? a - b : String(a).localeCompare(String(b), "en", { numeric: true }));
        });
        body.append(...rows.map(([, row]) => row));
      }
    });
  });
}

// Filtering: rows by words, columns of the leaderboards by data set, protocol, labels and condition.
const AXES = ["dataset", "protocol", "shots", "condition"];
const filterRows = (input) => {
  const words = input.value.toLowerCase().split(/\s+/).filter(Boolean);
  for (const table of all(input.dataset.tables)) {
    let shown = 0;
    for (const body of table.tBodies) {
      for (const row of body.rows) {
        const where = input.dataset.first === undefined ? row : row.cells[0];
        const text = where.textContent.toLowerCase();
        row.hidden = !words.every((word) => text.includes(word));
        shown += !row.hidden;
      }
    }
    const count = document.getElementById(`${table.id}-count`);
    if (count) count.textContent = `${shown} shown`;
  }
};
// A board of a site without a shown row or column is hidden as a whole.
const filterBoards = () => {
  const boards = all("[data-board]");
  for (const board of boards) {
    board.hidden = !board.querySelector("tbody tr:not([hidden])")
      || !board.querySelector("thead [data-dataset]:not([hidden])");
  }
  const count = document.getElementById("shown");
  const shown = boards.filter((board) => !board.hidden);
  const rows = shown.flatMap((board) => all("tbody tr:not([hidden])", board));
  if (count) count.textContent = `${shown.length} of ${boards.length} boards, ${rows.length} rows shown.`;
};
for (const input of all("input[type=search]")) {
  input.addEventListener("input", () => { filterRows(input); filterBoards(); });
}
const filterColumns = () => {
  const hidden = new Set(all("input[data-axis]").filter((box) => !box.checked)
    .map((box) => `${box.dataset.axis}:${box.value}`));
  for (const cell of all("[data-dataset]")) {
    cell.hidden = AXES.some((axis) => hidden.has(`${axis}:${cell.dataset[axis]}`));
  }
  filterBoards();
};
for (const box of all("input[data-axis]")) box.addEventListener("change", filterColumns);
for (const input of all("input[type=search]")) filterRows(input); // the browser may restore fields
filterColumns();

// Gains are part of the page without scripts; with them a box shows them.
for (const box of all("input[data-gains]")) {
  const show = () => { for (const gain of all(".gain")) gain.hidden = !box.checked; };
  box.addEventListener("change", show);
  show();
}

// The number of runs, the interval and p of a cell are its tooltip, for a mouse; a tap on the cell or
// the focus shows them below its table. A click or Enter also shows its runs, if the page has them.
// Arrow keys move between the cells, so that a table is one stop of the Tab key.
const showRuns = (cell) => {
  const rows = all("#runs-table tbody tr");
  for (const row of rows) row.hidden = row.dataset.cell !== cell.dataset.runs;
  document.getElementById("runs-filter").value = "";
  const shown = rows.filter((row) => !row.hidden).length;
  document.getElementById("runs-table-count").textContent = `${shown} of ${cell.dataset.runs}`
    + (cell.title && ` (${cell.title})`);
  const part = document.getElementById("runs-part");
  part.open = true;
  part.scrollIntoView();
  part.querySelector("summary").focus({ preventScroll: true });
};
const STEPS = { ArrowUp: [-1, 0], ArrowDown: [1, 0], ArrowLeft: [0, -1], ArrowRight: [0, 1] };
const move = (table, cell, [down, right]) => {
  const rows = all("tbody tr:not([hidden])", table)
    .map((row) => all("td[data-runs]:not([hidden])", row)).filter((cells) => cells.length);
  const row = rows.findIndex((cells) => cells.includes(cell));
  const target = rows[row + down];
  const next = target && (right ? target[target.indexOf(cell) + right]
    : target.find((other) => other.cellIndex >= cell.cellIndex) ?? target.at(-1));
  if (!next) return;
  cell.tabIndex = -1;
  next.tabIndex = 0;
  next.focus();
};
const hasRuns = document.getElementById("runs-table") !== null;
for (const table of all("table.board")) {
  const hint = document.getElementById(`${table.id}-hint`);
  const explain = (cell) => {
    hint.textContent = `${cell.dataset.runs}: ${cell.textContent.trim()}${cell.title && `; ${cell.title}`}`;
  };
  const cells = all("td[data-runs]", table);
  cells.forEach((cell, number) => { cell.tabIndex = number ? -1 : 0; });
  table.addEventListener("focusin", (event) => {
    const cell = event.target.closest("td[data-runs]");
    if (cell) explain(cell);
  });
  table.addEventListener("click", (event) => {
    const cell = event.target.closest("td[data-runs]");
    if (!cell) return;
    explain(cell);
    if (hasRuns) showRuns(cell);
  });
  table.addEventListener("keydown", (event) => {
    const cell = event.target.closest("td[data-runs]");
    if (!cell || !(event.key in STEPS || event.key === "Enter")) return;
    event.preventDefault();
    if (event.key !== "Enter") move(table, cell, STEPS[event.key]);
    else if (hasRuns) showRuns(cell);
  });
}
addEventListener("beforeprint", () => all("details.print, details.notes").forEach((part) => { part.open = true; }));
