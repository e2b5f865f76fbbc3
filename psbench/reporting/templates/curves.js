  "use strict";
  const tip = document.getElementById("tip");
  const within = 26;

  for (const figure of document.querySelectorAll("figure.curves")) {
    const svg = figure.querySelector("svg");
    const curves = JSON.parse(figure.querySelector("script").textContent);
    for (const curve of curves) {
      curve.parts = [...svg.querySelectorAll(`[id^="${curve.id}"]`)].filter(part =>
        ["", "-name", "-name-leader", "-intervals"].includes(part.id.slice(curve.id.length)));
      curve.marks = [...svg.getElementById(curve.id).querySelectorAll("use")];
      curve.key = curve.name + (curve.kind === "published" ? "" : ", " + (curve.kind === "synthetic" ? "synthetic data" : "measured"));
    }
    addLegend(figure.querySelector("fieldset"), curves);
    svg.addEventListener("pointermove", event => point(event, curves));
    svg.addEventListener("pointerdown", event => point(event, curves));
    svg.addEventListener("pointerleave", () => { tip.hidden = true; });
  }

  function addLegend(fieldset, curves) {
    const boxes = [];
    for (const [words, on] of [["all", true], ["none", false]]) {
      const button = document.createElement("button");
      button.type = "button";
      button.textContent = words;
      button.addEventListener("click", () => {
        for (const box of boxes) box.checked = on;
        show(curves, on);
      });
      fieldset.append(button);
    }
    for (const key of new Set(curves.map(curve => curve.key))) {
      const mine = curves.filter(curve => curve.key === key);
      const label = document.createElement("label");
      const box = document.createElement("input");
      box.type = "checkbox";
      box.checked = true;
      box.addEventListener("change", () => show(mine, box.checked));
      label.style.setProperty("--swatch", mine[0].colour);
      label.append(box, key);
      label.addEventListener("pointerenter", () => emphasise(curves, key));
      label.addEventListener("pointerleave", () => emphasise(curves, null));
      fieldset.append(label);
      boxes.push(box);
    }
  }

  function show(curves, on) {
    for (const curve of curves) {
      curve.hidden = !on;
      for (const part of curve.parts) part.style.display = on ? "" : "none";
    }
  }

  function emphasise(curves, key) {
    for (const curve of curves)
      for (const part of curve.parts) part.classList.toggle("faint", key !== null && curve.key !== key);
  }

  function point(event, curves) {
    let nearest = null;
    for (const curve of curves) {
      if (curve.hidden) continue;
      curve.marks.forEach((mark, i) => {
        const box = mark.getBoundingClientRect();
        const x = box.x + box.width / 2, y = box.y + box.height / 2;
        const away = Math.hypot(event.clientX - x, event.clientY - y);
        if (away < within && (nearest === null || away < nearest.away)) nearest = { away, x, y, curve, at: curve.points[i] };
      });
    }
    tip.hidden = nearest === null;
    if (nearest === null) return;
    const [x, y, low, high] = nearest.at;
    const interval = low === null ? "" : ` (95 %: ${low.toFixed(1)} to ${high.toFixed(1)})`;
    tip.textContent = `${nearest.curve.key}\n${nearest.curve.metric} ${y.toFixed(1)} %${interval}\n${nearest.curve.axis}: ${x}`;
    const box = tip.getBoundingClientRect();
    const left = Math.min(nearest.x + 12, innerWidth - box.width - 8);
    const above = nearest.y - box.height - 10;
    tip.style.left = `${Math.max(8, left)}px`;
    tip.style.top = `${above > 8 ? above : nearest.y + 12}px`;
  }
