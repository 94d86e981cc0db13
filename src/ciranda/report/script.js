"use strict";
(() => {
  const language = document.documentElement.lang;
  const shown = new Intl.NumberFormat(language, { maximumSignificantDigits: 5 });
  const svg = (name, attributes, text) => {
    const node = document.createElementNS("http://www.w3.org/2000/svg", name);
    for (const key in attributes) node.setAttribute(key, attributes[key]);
    if (text !== undefined) node.textContent = text;
    return node;
  };
  const nearest = (xs, x) => {
    let low = 0, high = xs.length - 1;
    while (high - low > 1) { const middle = (low + high) >> 1; if (xs[middle] < x) low = middle; else high = middle; }
    return Math.abs(xs[low] - x) <= Math.abs(xs[high] - x) ? low : high;
  };
  for (const chart of document.querySelectorAll("svg.chart[data-lines]")) {
    let parsed = null;
    const hover = chart.querySelector(".hover");
    chart.addEventListener("pointermove", (event) => {
      parsed = parsed || { frame: JSON.parse(chart.dataset.frame), lines: JSON.parse(chart.dataset.lines) };
      const [left, top, width, height, x0, x1, y0, y1] = parsed.frame;
      const box = chart.getBoundingClientRect();
      const across = (event.clientX - box.left) * chart.viewBox.baseVal.width / box.width;
      hover.replaceChildren();
      if (!parsed.lines.length || across < left - 6 || across > left + width + 6) return;
      const x = x0 + (across - left) / width * (x1 - x0);
      const best = parsed.lines.map(([, , xs]) => xs[nearest(xs, x)]).reduce((a, b) => Math.abs(a - x) <= Math.abs(b - x) ? a : b);
      const at = left + (best - x0) / (x1 - x0) * width;
      hover.append(svg("line", { x1: at, x2: at, y1: top, y2: top + height }));
      const rows = [chart.dataset.x + " " + shown.format(best)];
      for (const [name, colour, xs, ys] of parsed.lines) {
        const place = nearest(xs, best);
        if (parsed.lines.length > 12 || Math.abs(xs[place] - best) > (x1 - x0) / 40) continue;
        hover.append(svg("circle", { cx: left + (xs[place] - x0) / (x1 - x0) * width, cy: top + (y1 - ys[place]) / (y1 - y0) * height, r: 4, class: "f" + colour }));
        rows.push((name ? name + "  " : "") + shown.format(ys[place]));
      }
      const wide = 14 + 6.7 * Math.max(...rows.map((row) => row.length));
      const place = at + wide + 12 > left + width ? at - wide - 8 : at + 8;
      hover.append(svg("rect", { x: place, y: top + 4, width: wide, height: 8 + 17 * rows.length, rx: 5 }));
      rows.forEach((row, index) => hover.append(svg("text", { x: place + 7, y: top + 20 + 17 * index }, row)));
    });
    chart.addEventListener("pointerleave", () => hover.replaceChildren());
  }
  const key = (row, column) => { const cell = row.cells[column]; return cell.dataset.v !== undefined ? +cell.dataset.v : cell.textContent; };
  for (const table of document.querySelectorAll("table.sort")) {
    table.querySelectorAll("thead th").forEach((head, column) => {
      const sort = () => {
        const down = head.getAttribute("aria-sort") === "ascending";
        table.querySelectorAll("th").forEach((other) => other.removeAttribute("aria-sort"));
        head.setAttribute("aria-sort", down ? "descending" : "ascending");
        const body = table.tBodies[0];
        const order = (a, b) => { const x = key(a, column), y = key(b, column); return typeof x === "number" && typeof y === "number" ? x - y : String(x).localeCompare(String(y), language, { numeric: true }); };
        body.append(...[...body.rows].sort((a, b) => down ? order(b, a) : order(a, b)));
      };
      head.tabIndex = 0;
      head.addEventListener("click", sort);
      head.addEventListener("keydown", (event) => { if (event.key === "Enter" || event.key === " ") { event.preventDefault(); sort(); } });
    });
  }
  for (const box of document.querySelectorAll("input[data-filter]")) {
    const rows = document.getElementById(box.dataset.filter).tBodies[0].rows;
    box.addEventListener("input", () => { for (const row of rows) row.hidden = !row.cells[0].textContent.toLowerCase().includes(box.value.trim().toLowerCase()); });
  }
})();
