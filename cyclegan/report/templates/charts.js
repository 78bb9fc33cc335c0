(() => {
  "use strict";
  const charts = JSON.parse(document.getElementById("chart-data").textContent);
  const drawn = new Set();
  const coarse = matchMedia("(pointer: coarse)").matches; // a finger that drags means to scroll
  const style = (name) => getComputedStyle(document.documentElement).getPropertyValue(name).trim();

  const axis = () => ({
    color: style("--muted"), gridcolor: style("--grid"), linecolor: style("--line"), zeroline: false,
    automargin: true, fixedrange: coarse,
  });
  const layout = () => ({
    paper_bgcolor: "rgba(0,0,0,0)", plot_bgcolor: "rgba(0,0,0,0)", autosize: true,
    font: { family: getComputedStyle(document.body).fontFamily, size: 12, color: style("--ink") },
    margin: { l: 8, r: 12, t: 8, b: 8 }, hovermode: "x unified", dragmode: coarse ? false : "zoom",
    hoverlabel: { bgcolor: style("--panel"), bordercolor: style("--line"), font: { color: style("--ink") } },
    legend: { orientation: "h", x: 0, y: 1.02, yanchor: "bottom", bgcolor: "rgba(0,0,0,0)", font: { color: style("--muted") } },
    showlegend: true,
    xaxis: { ...axis(), showgrid: false, tickformat: "~s", nticks: 6, unifiedhovertitle: { text: "%{x:,} images" } },
    yaxis: { ...axis(), nticks: 6, exponentformat: "power" },
  });
  const coloured = (trace) => {
    const colour = style("--curve-" + trace.meta);
    return { ...trace, line: { ...trace.line, color: colour }, marker: { color: colour, size: 5 } };
  };
  const draw = (id) => {
    drawn.add(id);
    Plotly.react(id, charts[id].data.map(coloured), layout(), { responsive: true, displayModeBar: false });
  };
  // What is folded away has no size to draw into.
  const drawShown = () => {
    for (const id of Object.keys(charts)) {
      if (!drawn.has(id) && document.getElementById(id).closest("details:not([open])") === null) draw(id);
    }
  };
  const redraw = () => drawn.forEach(draw);

  drawShown();
  document.addEventListener("toggle", drawShown, true);
  matchMedia("(prefers-color-scheme: dark)").addEventListener("change", redraw);
  matchMedia("print").addEventListener("change", redraw);
})();
