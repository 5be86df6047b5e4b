"use strict";
const tip = document.getElementById("tip");
function show(event, text) {
  tip.hidden = false;
  tip.textContent = text;
  const { width, height } = tip.getBoundingClientRect();
  const x = event.clientX + 14 + width > innerWidth ? event.clientX - 14 - width : event.clientX + 14;
  const y = event.clientY + 14 + height > innerHeight ? event.clientY - 14 - height : event.clientY + 14;
  tip.style.left = Math.max(4, x) + "px";
  tip.style.top = Math.max(4, y) + "px";
}
const hide = () => { tip.hidden = true; };

for (const title of document.querySelectorAll("svg title")) {
  const owner = title.parentNode, text = title.textContent;
  title.remove();
  owner.setAttribute("aria-label", text);
  owner.addEventListener("pointermove", event => show(event, text));
  owner.addEventListener("pointerleave", hide);
}

for (const chart of document.querySelectorAll(".curves")) {
  const cursor = chart.querySelector(".cursor");
  for (const strip of chart.querySelectorAll(".strip")) {
    strip.addEventListener("pointerenter", () => {
      cursor.setAttribute("x1", strip.dataset.x);
      cursor.setAttribute("x2", strip.dataset.x);
      cursor.style.visibility = "visible";
    });
    strip.addEventListener("pointerleave", () => { cursor.style.visibility = "hidden"; });
  }
}

const lookup = document.getElementById("confusion");
if (lookup) {
  const { classes, support, cells } = JSON.parse(lookup.textContent);
  const counts = new Map(cells.map(([truth, predicted, count]) => [truth * classes.length + predicted, count]));
  const svg = document.querySelector(".heat");
  const left = Number(svg.dataset.left), cell = Number(svg.dataset.cell);
  svg.addEventListener("pointermove", event => {
    const at = new DOMPoint(event.clientX, event.clientY).matrixTransform(svg.getScreenCTM().inverse());
    const truth = Math.floor(at.y / cell), predicted = Math.floor((at.x - left) / cell);
    if (truth < 0 || predicted < 0 || truth >= classes.length || predicted >= classes.length) return hide();
    const count = counts.get(truth * classes.length + predicted) || 0;
    const share = support[truth] ? (100 * count / support[truth]).toFixed(1) + " %" : "none";
    show(event, `true: ${classes[truth]}\npredicted: ${classes[predicted]}\n${count} of ${support[truth]} (${share})`);
  });
  svg.addEventListener("pointerleave", hide);
}

for (const table of document.querySelectorAll(".sortable")) {
  const body = table.tBodies[0], rows = [...body.rows];
  const value = (row, column) => row.cells[column].dataset.value || row.cells[column].textContent;
  [...table.tHead.rows[0].cells].forEach((head, column) => head.addEventListener("click", () => {
    const ascending = head.getAttribute("aria-sort") !== "ascending";
    for (const other of table.tHead.rows[0].cells) other.removeAttribute("aria-sort");
    head.setAttribute("aria-sort", ascending ? "ascending" : "descending");
    const order = column ? (a, b) => value(a, column) - value(b, column)
      : (a, b) => value(a, 0).localeCompare(value(b, 0), undefined, { numeric: true });
    rows.sort((a, b) => ascending ? order(a, b) : order(b, a));
    body.append(...rows);
  }));
}
