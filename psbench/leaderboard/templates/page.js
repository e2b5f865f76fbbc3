"use strict";
{
  const all = (selector, within = document) => [...within.querySelectorAll(selector)];
  const make = (name, attributes = {}, ...children) => fill(document.createElement(name), attributes, children);
  const draw = (name, attributes = {}, ...children) =>
    fill(document.createElementNS("http://www.w3.org/2000/svg", name), attributes, children);

  function fill(element, attributes, children) {
    for (const [name, value] of Object.entries(attributes)) element.setAttribute(name, value);
    element.append(...children);
    return element;
  }

  // The theme: of the system, or chosen.
  const THEMES = ["system", "light", "dark"];
  const theme = document.getElementById("theme");
  let chosenTheme = "system";
  try { chosenTheme = localStorage.getItem("theme") ?? "system"; } catch { /* Not kept then. */ }

  function setTheme(name) {
    chosenTheme = THEMES.includes(name) ? name : "system";
    if (chosenTheme === "system") delete document.documentElement.dataset.theme;
    else document.documentElement.dataset.theme = chosenTheme;
    theme.textContent = `Theme: ${chosenTheme}`;
  }

  theme.hidden = false;
  setTheme(chosenTheme);
  theme.addEventListener("click", () => {
    setTheme(THEMES[(THEMES.indexOf(chosenTheme) + 1) % THEMES.length]);
    try { localStorage.setItem("theme", chosenTheme); } catch { /* Not kept then. */ }
  });

  // Long tables: their rows in order, and which of them fit. The beginning is shown until more are asked for; the other
  // rows are kept out of the page, so that ten thousand of them cost no layout.
  const BEGINNING = Number(document.getElementById("boards").dataset.beginning), GROWTH = 5;

  function longTable(box, prepare = () => {}) {
    const [body, later] = box.querySelector("table").tBodies;
    const more = make("button", { type: "button" });
    const rows = [...body.rows, ...(later?.rows ?? [])].map(row => ({ row, words: null, fits: true, ready: false }));
    later?.remove();
    const long = { box, body, more, rows, prepare, most: BEGINNING };
    more.addEventListener("click", () => { long.most *= GROWTH; show(long); });
    box.append(more);
    return long;
  }

  function show({ body, more, rows, prepare, most }) {
    const fitting = rows.filter(entry => entry.fits);
    const shown = fitting.slice(0, most);
    for (const entry of shown) {
      if (!entry.ready) prepare(entry.row);
      entry.ready = true;
    }
    body.replaceChildren(...shown.map(entry => entry.row));
    const next = most * GROWTH < fitting.length ? `${most * GROWTH} of` : "all";
    more.hidden = shown.length === fitting.length;
    more.textContent = `Show ${next} ${fitting.length} rows`;
  }

  function showAnew(long) {
    // Thousands of rows take seconds to lay out: in a new order or choice, only who asks again waits for them.
    long.most = Math.min(long.most, BEGINNING * GROWTH);
    show(long);
  }

  const rankings = all(".ranking").map(box => longTable(box));

  // Sorting: what is empty stands last either way, and equals stay in their order.
  const collator = new Intl.Collator("en", { numeric: true, sensitivity: "base" });

  function valueOf(row, column, isText) {
    const cell = row.cells[column];
    const words = cell.dataset.value ?? cell.textContent.trim();
    if (isText) return words;
    const number = parseFloat(words.replace("=", ""));
    return Number.isNaN(number) ? "" : number;
  }

  function sortBy(heading, ranking) {
    const kind = heading.dataset.sort;
    const first = kind === "descending" ? "descending" : "ascending";
    const other = first === "ascending" ? "descending" : "ascending";
    const order = heading.getAttribute("aria-sort") === first ? other : first;
    for (const each of heading.parentNode.cells) each.removeAttribute("aria-sort");
    heading.setAttribute("aria-sort", order);
    const sign = order === "ascending" ? 1 : -1;
    const compare = kind === "text" ? collator.compare : (a, b) => a - b;
    const keyed = ranking.rows.map(entry => [valueOf(entry.row, heading.cellIndex, kind === "text"), entry]);
    const known = keyed.filter(([value]) => value !== "").sort(([a], [b]) => sign * compare(a, b));
    ranking.rows = [...known, ...keyed.filter(([value]) => value === "")].map(([, entry]) => entry);
    showAnew(ranking);
  }

  for (const ranking of rankings) {
    for (const heading of all("th[data-sort]", ranking.box)) {
      const button = make("button", { type: "button" }, heading.textContent);
      button.addEventListener("click", () => sortBy(heading, ranking));
      heading.replaceChildren(button);
    }
  }

  // Filtering.
  const filters = document.getElementById("filters");
  const said = filters.querySelector("output");
  const groups = [...all("section.protocol"), ...all("section.dataset")];

  function wordsOf(entry) {
    // Asked for once, and only when somebody filters by words.
    entry.words ??= [...entry.row.cells].map(cell => cell.textContent).join(" ").toLowerCase();
    return entry.words;
  }

  function filter() {
    const asked = Object.fromEntries(new FormData(filters));
    const words = asked.words.toLowerCase().split(/\s+/).filter(Boolean);
    let fitting = 0, total = 0;
    for (const ranking of rankings) {
      const possible = !asked.supervision || asked.supervision === ranking.box.dataset.supervision;
      for (const entry of ranking.rows) {
        const { kind, family } = entry.row.dataset;
        entry.fits = possible && (!asked.kind || asked.kind === kind) && (!asked.family || asked.family === family)
          && words.every(word => wordsOf(entry).includes(word));
      }
      const here = ranking.rows.filter(entry => entry.fits).length;
      ranking.box.hidden = here === 0;
      showAnew(ranking);
      fitting += here;
      total += ranking.rows.length;
    }
    for (const group of groups) group.hidden = !group.querySelector(".ranking:not([hidden])");
    document.getElementById("nothing").hidden = fitting > 0 || total === 0;
    said.textContent = fitting === total ? `${total} rows` : `${fitting} of ${total} rows`;
  }

  let waiting;
  filters.hidden = false;
  filters.addEventListener("input", () => { clearTimeout(waiting); waiting = setTimeout(filter, 120); });
  filters.addEventListener("reset", () => { clearTimeout(waiting); waiting = setTimeout(filter); });
  filters.addEventListener("submit", event => event.preventDefault());
  filter();

  // Curves over gallery sizes, drawn from the table below them.
  const COLOURS = 8, SHOWN_FIRST = 5, LINE = 17, LEFT = 40, TOP = 28, BOTTOM = 38;
  const SHAPES = [
    "M-4 0a4 4 0 1 0 8 0a4 4 0 1 0-8 0z", "M-3.6-3.6h7.2v7.2h-7.2z", "M0-5l4.6 8.2h-9.2z", "M0-5l5 5l-5 5l-5-5z", "M0 5l4.6-8.2h-9.2z",
    "M-5-1.6h3.4v-3.4h3.2v3.4h3.4v3.2h-3.4v3.4h-3.2v-3.4h-3.4z",
  ];
  const ruler = document.createElement("canvas").getContext("2d");
  const font = getComputedStyle(document.body).fontFamily;

  function widthOf(words, weight = 600) {
    ruler.font = `${weight} 12px ${font}`;
    return ruler.measureText(words).width;
  }

  function shortened(words, width) {
    if (widthOf(words) <= width) return words;
    let end = words.length;
    while (end > 1 && widthOf(`${words.slice(0, end)}…`) > width) end--;
    return `${words.slice(0, end).trimEnd()}…`;
  }

  function apart(places, low, high) {
    // Ascending places, each at least a line below the one before, and none outside.
    const found = places.slice();
    for (let i = 0; i < found.length; i++) found[i] = Math.max(found[i], i ? found[i - 1] + LINE : low);
    for (let i = found.length - 1; i >= 0; i--) found[i] = Math.min(found[i], i < found.length - 1 ? found[i + 1] - LINE : high);
    return found;
  }

  function ticksOf(low, high) {
    const step = [0.5, 1, 2, 5, 10, 20].find(size => (high - low) / size <= 6) ?? 25;
    const first = Math.floor(low / step), last = Math.max(Math.ceil(high / step), first + 1);
    return Array.from({ length: last - first + 1 }, (_, i) => (first + i) * step);
  }

  class Curves {
    constructor(section) {
      this.figure = section.querySelector("figure");
      this.table = section.querySelector("table");
      this.sizes = [...this.table.tHead.rows[0].cells].slice(1).map(cell => Number(cell.textContent));
      this.slots = new Map();
      this.width = 0;
      this.figure.after(make("p", { class: "hint" }, "Choose methods in the table: filled points are computed, dashed lines are weak evidence."));
      const rows = [];
      show(longTable(section.querySelector(".scroll"), row => rows.push(this.prepare(row))));
      for (const row of rows.slice(0, SHOWN_FIRST)) this.choose(row, true);
      this.figure.hidden = false;
      new ResizeObserver(() => this.draw()).observe(this.figure);
    }

    prepare(element) {
      const [head, ...cells] = element.cells;
      const box = make("input", { type: "checkbox" });
      const row = { element, box, name: head.querySelector("span").textContent, kind: element.dataset.kind };
      row.points = cells.map((cell, i) => [this.sizes[i], cell.textContent]).filter(([, text]) => text);
      const label = make("label", {}, box, ...head.childNodes);
      head.append(label);
      box.addEventListener("change", () => { this.choose(row, box.checked); this.draw(true); });
      return row;
    }

    choose(row, on) {
      row.box.checked = on;
      if (on) {
        const taken = new Set(this.slots.values());
        let slot = 0;
        while (taken.has(slot)) slot++;
        this.slots.set(row, slot);
        row.element.classList.add("chosen", `c${slot % COLOURS}`);
      } else {
        row.element.classList.remove("chosen", `c${this.slots.get(row) % COLOURS}`);
        this.slots.delete(row);
      }
    }

    draw(again = false) {
      const width = Math.floor(this.figure.clientWidth);
      if (!width || (width === this.width && !again)) return;
      this.width = width;
      const chosen = [...this.slots].map(([row, slot]) => ({ ...row, slot }));
      const values = chosen.flatMap(row => row.points.map(([, text]) => parseFloat(text)));
      const ticks = values.length ? ticksOf(Math.min(...values), Math.max(...values)) : [0, 25, 50, 75, 100];
      const height = TOP + BOTTOM + Math.max(Math.min(360, width * 0.72), (chosen.length + 1) * LINE);
      const labels = Math.min(width * 0.38, 30 + Math.max(30, ...chosen.map(row => widthOf(row.name))));
      const right = Math.min(width, 960) - labels;
      const [low, high] = [ticks[0], ticks.at(-1)];
      const [from, to] = [Math.log(this.sizes[0]), Math.log(this.sizes.at(-1))];
      const x = size => LEFT + 6 + (right - LEFT - 12) * (to > from ? (Math.log(size) - from) / (to - from) : 0.5);
      const y = value => TOP + (height - TOP - BOTTOM) * (1 - (value - low) / (high - low));
      const names = chosen.map(row => row.name).join(", ") || "nothing chosen";
      const words = `mAP over gallery size of ${names}. The numbers are in the table below.`;
      const svg = draw("svg", { viewBox: `0 0 ${width} ${height}`, role: "img", "aria-label": words });
      svg.append(...this.axes({ ticks, x, y, right, height }), ...chosen.map(row => this.curve(row, x, y)),
        ...this.names(chosen, { x, y, right, room: labels - 24, bottom: height - BOTTOM }));
      this.figure.replaceChildren(svg);
    }

    axes({ ticks, x, y, right, height }) {
      const parts = ticks.flatMap(tick => [
        draw("line", { class: "grid", x1: LEFT, x2: right, y1: y(tick), y2: y(tick) }),
        draw("text", { x: LEFT - 6, y: y(tick) + 4, "text-anchor": "end" }, String(tick)),
      ]);
      let taken = -Infinity;
      for (const size of this.sizes) {
        const half = widthOf(String(size), 400) / 2;
        if (x(size) - half < taken + 4) continue;
        taken = x(size) + half;
        parts.push(draw("text", { x: x(size), y: height - BOTTOM + 18, "text-anchor": "middle" }, String(size)));
      }
      const middle = (LEFT + right) / 2;
      parts.push(draw("text", { x: middle, y: height - 3, "text-anchor": "middle" }, "scenes in the gallery (log)"));
      parts.push(draw("text", { x: 0, y: 11 }, "mAP"));
      return parts;
    }

    curve({ name, kind, slot, points }, x, y) {
      const path = points.map(([size, text], i) => `${i ? "L" : "M"}${x(size).toFixed(1)} ${y(parseFloat(text)).toFixed(1)}`).join("");
      const dots = points.map(([size, text]) => draw("path", {
        class: `dot ${kind}`, d: SHAPES[slot % SHAPES.length], transform: `translate(${x(size).toFixed(1)} ${y(parseFloat(text)).toFixed(1)})`,
      }, draw("title", {}, `${name}: ${text} among ${size}`)));
      return draw("g", { class: `curve c${slot % COLOURS}` }, draw("path", { class: `slot ${kind}`, d: path }), ...dots);
    }

    names(chosen, { x, y, right, room, bottom }) {
      const ends = chosen.map(row => {
        const [size, text] = row.points.at(-1);
        return { row, x: x(size), y: y(parseFloat(text)) };
      }).sort((a, b) => a.y - b.y);
      const places = apart(ends.map(end => end.y), TOP, bottom);
      return ends.map((end, i) => draw("g", { class: `c${end.row.slot % COLOURS}` },
        draw("path", { class: "leader", d: `M${end.x + 7} ${end.y}L${right + 12} ${places[i]}` }),
        draw("text", { class: "name", x: right + 16, y: places[i] + 4 }, shortened(end.row.name, room),
          draw("title", {}, end.row.name))));
    }
  }

  for (const section of all("section.sizes")) new Curves(section);
}
