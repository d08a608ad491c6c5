"use strict";
const all = (selector, root = document) => [...root.querySelectorAll(selector)];

// Sorting: a click on a header sorts each part of the table; cells without a value stay last.
for (const table of all("table.sortable")) {
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

// Filtering: rows by words, columns of the leaderboards by data set, protocol and condition.
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
for (const input of all("input[type=search]")) {
  input.addEventListener("input", () => filterRows(input));
}
const filterColumns = () => {
  const hidden = new Set(all("input[data-axis]").filter((box) => !box.checked)
    .map((box) => `${box.dataset.axis}:${box.value}`));
  for (const cell of all("[data-dataset]")) {
    cell.hidden = ["dataset", "protocol", "condition"]
      .some((axis) => hidden.has(`${axis}:${cell.dataset[axis]}`));
  }
};
for (const box of all("input[data-axis]")) box.addEventListener("change", filterColumns);

// A click on a cell of a leaderboard shows the runs behind it.
for (const cell of all("td[data-runs]")) {
  cell.addEventListener("click", () => {
    const rows = all("#runs-table tbody tr");
    for (const row of rows) row.hidden = row.dataset.cell !== cell.dataset.runs;
    document.getElementById("runs-filter").value = "";
    const shown = rows.filter((row) => !row.hidden).length;
    document.getElementById("runs-table-count").textContent = `${shown} of ${cell.dataset.runs}`;
    const part = document.getElementById("runs-part");
    part.open = true;
    part.scrollIntoView();
  });
}
addEventListener("beforeprint", () => all("details.print, details.notes").forEach((part) => { part.open = true; }));
