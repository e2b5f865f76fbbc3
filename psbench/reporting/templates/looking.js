  "use strict";
  {
    const form = document.getElementById("filters");
    const said = form.querySelector("output");
    const nothing = document.getElementById("nothing");
    const entries = [...document.querySelectorAll(".entry")].map(element =>
      ({ element, text: element.textContent.toLowerCase() }));

    function filter() {
      const { words, ...chosen } = Object.fromEntries(new FormData(form));
      const asked = words.toLowerCase().split(/\s+/).filter(Boolean);
      let shown = 0;
      for (const { element, text } of entries) {
        const fits = Object.entries(chosen).every(([name, value]) => !value || element.dataset[name] === value)
          && asked.every(word => text.includes(word));
        element.hidden = !fits;
        shown += fits;
      }
      for (const group of document.querySelectorAll(".group")) group.hidden = !group.querySelector(".entry:not([hidden])");
      nothing.hidden = shown > 0;
      said.textContent = shown === entries.length ? `${shown} shown` : `${shown} of ${entries.length} shown`;
    }

    form.hidden = false;
    form.addEventListener("input", filter);
    form.addEventListener("reset", () => setTimeout(filter));
    form.addEventListener("submit", event => event.preventDefault());
    // A browser that comes back to the page may have kept what was chosen.
    addEventListener("pageshow", filter);
  }
