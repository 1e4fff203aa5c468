"use strict";
(() => {
  const root = document.documentElement;
  const colour = (name) => getComputedStyle(root).getPropertyValue(name).trim();

  // Figures leave text and grid uncoloured; this gives them the page's colours, in light and in dark.
  function colours(layout) {
    const ink = colour("--ink"), soft = colour("--soft"), grid = colour("--grid"), sheet = colour("--sheet");
    const update = {
      "font.color": ink, "modebar.color": soft, "modebar.activecolor": ink, "hoverlabel.bgcolor": sheet, "hoverlabel.bordercolor": soft, "hoverlabel.font.color": ink,
    };
    for (const key of Object.keys(layout)) {
      if (/^[xy]axis\d*$/.test(key)) {
        update[key + ".gridcolor"] = grid;
        update[key + ".linecolor"] = grid;
        update[key + ".tickfont.color"] = soft;
        update[key + ".title.font.color"] = soft;
      }
    }
    return update;
  }
  function assign(target, update) {
    for (const [path, value] of Object.entries(update)) {
      const keys = path.split("."), last = keys.pop();
      let at = target;
      for (const key of keys) at = at[key] = at[key] || {};
      at[last] = value;
    }
  }

  let plots = [];
  const config = {
    responsive: true, displaylogo: false, scrollZoom: false,
    // Named one by one: the default buttons include one that uploads the figure to a public server.
    modeBarButtons: [["toImage", "zoom2d", "pan2d", "resetScale2d"]], showSendToCloud: false, plotlyServerURL: "",
  };

  // The library is packed, for it is most of the page. A script element runs it: the page's policy allows no `eval`.
  async function unpack() {
    if (typeof Plotly !== "undefined") return true;
    const packed = document.getElementById("library");
    if (!packed) return false;
    if (typeof DecompressionStream === "undefined") {
      document.getElementById("undrawn").hidden = false;
      return false;
    }
    const bytes = Uint8Array.from(atob(packed.textContent), (character) => character.charCodeAt(0));
    const script = document.createElement("script");
    script.textContent = await new Response(new Blob([bytes]).stream().pipeThrough(new DecompressionStream("gzip"))).text();
    document.head.append(script);
    return true;
  }
  // Figures of a training that is not shown wait until it is: they take their width from the page.
  let drawing = Promise.resolve();
  async function drawShown() {
    for (const place of plots) if (!place.isConnected) Plotly.purge(place);
    plots = plots.filter((place) => place.isConnected);
    for (const source of document.querySelectorAll("script[data-figure]:not([data-done])")) {
      const place = document.getElementById(source.dataset.figure);
      if (place.closest("[hidden]")) continue;
      source.dataset.done = "";
      const figure = JSON.parse(source.textContent);
      assign(figure.layout, colours(figure.layout));
      await Plotly.newPlot(place, figure.data, figure.layout, config);
      plots.push(place);
      // One figure after another, so that the page can be read and scrolled from the start.
      await new Promise((resolve) => setTimeout(resolve, 0));
    }
    root.dataset.drawn = String(plots.length);
  }
  const unpacked = unpack();
  const draw = () => { drawing = Promise.all([unpacked, drawing]).then(([ready]) => ready && drawShown()); };
  const shown = () => plots.filter((place) => place.isConnected && !place.closest("[hidden]"));
  const repaint = () => plots.filter((place) => place.isConnected).forEach((place) => Plotly.relayout(place, colours(place.layout)));

  // The training that is chosen is shown, the others wait.
  function choose() {
    const choice = document.querySelector(".chooser select");
    if (choice) {
      for (const section of document.querySelectorAll("section[data-training]")) {
        section.hidden = choice.value !== "" && section.dataset.training !== choice.value;
      }
    }
    draw();
    // A figure that was hidden while the window changed has the width of before.
    for (const place of shown()) Plotly.Plots.resize(place);
  }

  unpacked.then((ready) => {
    if (!ready) return;
    matchMedia("(prefers-color-scheme: dark)").addEventListener("change", repaint);
    // Paper is light and narrower than the window.
    matchMedia("print").addEventListener("change", (event) => {
      for (const place of shown()) Plotly.relayout(place, { width: event.matches ? Math.min(680, place.clientWidth) : null });
      repaint();
    });
  });

  // The number behind a cell, or its text; what has no number comes last in either order.
  function compared(cell) {
    if (cell.dataset.value !== undefined) return Number(cell.dataset.value);
    const text = cell.textContent.trim();
    if (!cell.classList.contains("numeric")) return text;
    const number = /-?(?:\d+(?:\.\d+)?(?:e[+-]?\d+)?|∞)/.exec(text.replace(/,/g, ""));
    return number && Number(number[0].replace("∞", "Infinity"));
  }
  function sort(table, column, sign) {
    const rows = [...table.tBodies[0].rows].map((row) => ({ row, key: compared(row.cells[column]) }));
    rows.sort((a, b) => {
      if (a.key === null || b.key === null) return (a.key === null) - (b.key === null);
      if (typeof a.key === "number" && typeof b.key === "number") return sign * (a.key < b.key ? -1 : Number(a.key > b.key));
      return sign * String(a.key).localeCompare(String(b.key), "en", { numeric: true });
    });
    table.tBodies[0].append(...rows.map(({ row }) => row));
  }
  // A box that scrolls can be reached by keyboard, one that does not needs no stop.
  function reachable() {
    for (const box of document.querySelectorAll(".scroll")) {
      if (box.scrollWidth > box.clientWidth) box.tabIndex = 0;
      else box.removeAttribute("tabindex");
    }
  }
  addEventListener("resize", reachable);

  // Gives the elements of a part of the page what they do, and draws its figures.
  function dress(part) {
    const chooser = document.querySelector(".chooser");
    if (chooser && chooser.hidden) {
      chooser.querySelector("select").addEventListener("change", choose);
      chooser.hidden = false;
    }
    for (const button of part.querySelectorAll(".legend button")) {
      button.addEventListener("click", () => {
        const shown = button.getAttribute("aria-pressed") !== "true";
        const place = button.closest("figure").querySelector(".plot");
        if (!place.data) return;
        const traces = place.data.flatMap((trace, index) => (trace.legendgroup === button.dataset.group ? [index] : []));
        button.setAttribute("aria-pressed", String(shown));
        if (traces.length) Plotly.restyle(place, { visible: shown }, traces);
      });
    }

    for (const table of part.querySelectorAll("table.sortable")) {
      const headings = [...table.tHead.rows[0].cells];
      headings.forEach((heading, column) => {
        const button = document.createElement("button");
        button.type = "button";
        button.textContent = heading.textContent;
        heading.replaceChildren(button);
        heading.setAttribute("aria-sort", "none");
        button.addEventListener("click", () => {
          const ascending = heading.getAttribute("aria-sort") !== "ascending";
          for (const other of headings) other.setAttribute("aria-sort", "none");
          heading.setAttribute("aria-sort", ascending ? "ascending" : "descending");
          sort(table, column, ascending ? 1 : -1);
        });
      });
    }

    for (const button of part.querySelectorAll(".save")) {
      button.hidden = false;
      button.addEventListener("click", () => {
        const text = JSON.parse(button.parentElement.nextElementSibling.textContent);
        const link = document.createElement("a");
        // The mark at its beginning tells spreadsheets that it is UTF-8.
        link.href = URL.createObjectURL(new Blob(["\ufeff", text], { type: "text/csv;charset=utf-8" }));
        link.download = button.dataset.name;
        link.click();
        setTimeout(() => URL.revokeObjectURL(link.href), 1000);
      });
    }

    for (const button of part.querySelectorAll(".copy")) {
      button.addEventListener("click", async () => {
        const code = button.parentElement.querySelector("code");
        try {
          await navigator.clipboard.writeText(code.textContent);
          button.textContent = "Copied";
        } catch {
          // A file opened from disk may be refused the clipboard: select the text, so that one key copies it.
          getSelection().selectAllChildren(code);
          button.textContent = "Selected";
        }
        setTimeout(() => { button.textContent = "Copy"; }, 2000);
      });
    }
    choose();
    reachable();
  }

  // A part that was put in the place of a former one asks for it again.
  addEventListener("replaced", (event) => dress(event.target));
  dress(document);

  addEventListener("beforeprint", () => document.querySelectorAll("details").forEach((d) => { d.open = true; }));
})();
