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

  const plots = [];
  const config = {
    responsive: true, displaylogo: false, scrollZoom: false,
    // Named one by one: the default buttons include one that uploads the figure to a public server.
    modeBarButtons: [["toImage", "zoom2d", "pan2d", "resetScale2d"]], showSendToCloud: false, plotlyServerURL: "",
  };
  async function draw() {
    for (const source of document.querySelectorAll("script[data-figure]")) {
      const place = document.getElementById(source.dataset.figure);
      const figure = JSON.parse(source.textContent);
      assign(figure.layout, colours(figure.layout));
      await Plotly.newPlot(place, figure.data, figure.layout, config);
      plots.push(place);
      // One figure after another, so that the page can be read and scrolled from the start.
      await new Promise((resolve) => setTimeout(resolve, 0));
    }
    root.dataset.drawn = String(plots.length);
  }
  const repaint = () => plots.forEach((place) => Plotly.relayout(place, colours(place.layout)));

  if (window.Plotly) {
    draw();
    matchMedia("(prefers-color-scheme: dark)").addEventListener("change", repaint);
    // Paper is light and narrower than the window.
    matchMedia("print").addEventListener("change", (event) => {
      for (const place of plots) Plotly.relayout(place, { width: event.matches ? Math.min(680, place.clientWidth) : null });
      repaint();
    });
  }

  for (const button of document.querySelectorAll(".legend button")) {
    button.addEventListener("click", () => {
      const shown = button.getAttribute("aria-pressed") !== "true";
      const place = button.closest("figure").querySelector(".plot");
      if (!place.data) return;
      const traces = place.data.flatMap((trace, index) => (trace.legendgroup === button.dataset.group ? [index] : []));
      button.setAttribute("aria-pressed", String(shown));
      if (traces.length) Plotly.restyle(place, { visible: shown }, traces);
    });
  }

  for (const button of document.querySelectorAll(".copy")) {
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

  addEventListener("beforeprint", () => document.querySelectorAll("details").forEach((d) => { d.open = true; }));
})();
