// Draws the charts whose numbers stand in the page, and fetches the advice, which takes longer.
"use strict";
(() => {
  const UNITS = {
    usd: { tickprefix: "$", hover: "$%{y:,.4~f}", across: "$%{x:,.4~f}" },
    percent: { ticksuffix: " %", hover: "%{y:.1f} %", across: "%{x:.1f} %" },
    ms: { ticksuffix: " s", hover: "%{y:,.2f} s", across: "%{x:,.2f} s", divide: 1000 },
    tokens: { hover: "%{y:,d} tokens", across: "%{x:,d} tokens" },
    calls: { hover: "%{y:,d}", across: "%{x:,d} calls" },
  };
  const holder = document.getElementById("specs");
  const specs = holder ? JSON.parse(holder.textContent) : {};

  function colours() {
    const probe = document.createElement("span");
    document.body.append(probe);
    const read = (name) => {
      probe.style.color = `var(${name})`;
      return getComputedStyle(probe).color;
    };
    const found = {
      ink: read("--ink"), quiet: read("--quiet"), line: read("--line"), paper: read("--paper"),
      palette: Array.from({ length: 8 }, (_, n) => read(`--c${n}`)),
    };
    probe.remove();
    return found;
  }

  function traces(spec, theme) {
    const unit = UNITS[spec.unit];
    return spec.lines.map((line) => {
      const color = theme.palette[line.color];
      const common = { name: line.name, customdata: line.links };
      const values = unit.divide
        ? line.values.map((value) => (value === null ? null : value / unit.divide)) : line.values;
      if (spec.kind === "across") {
        return { ...common, type: "bar", orientation: "h", x: values, y: spec.axis,
          marker: { color }, hovertemplate: `%{y}: ${unit.across}<extra></extra>` };
      }
      const drawn = { ...common, x: spec.axis, y: values,
        hovertemplate: `%{fullData.name}, %{x}: ${unit.hover}<extra></extra>` };
      return spec.kind === "bars"
        ? { ...drawn, type: "bar", marker: { color } }
        : { ...drawn, type: "scatter", mode: "lines+markers", connectgaps: false,
            line: { color, width: 2, dash: line.color > 2 ? "dot" : "solid" },
            marker: { color, size: 6 } };
    });
  }

  function layout(spec, theme) {
    const unit = UNITS[spec.unit];
    const axis = { gridcolor: theme.line, zerolinecolor: theme.line, linecolor: theme.line,
      fixedrange: true, automargin: true };
    const numbers = { ...axis, tickprefix: unit.tickprefix || "", ticksuffix: unit.ticksuffix || "",
      rangemode: "tozero", nticks: 6 };
    const across = spec.kind === "across";
    const daily = spec.axis.every((at) => at.endsWith("00:00"));
    return {
      barmode: "stack", bargap: 0.2, dragmode: false, hovermode: "closest",
      height: across ? 60 + 34 * spec.axis.length : 280,
      margin: { l: 8, r: 8, t: 8, b: 8 },
      font: { family: "system-ui, sans-serif", size: 12, color: theme.quiet },
      paper_bgcolor: "rgba(0,0,0,0)", plot_bgcolor: "rgba(0,0,0,0)",
      xaxis: across ? numbers : { ...axis, type: "date", nticks: 7, tickformat: daily ? "%-d %b" : "%-d %b %H:%M" },
      yaxis: across ? { ...axis, autorange: "reversed" } : numbers,
      showlegend: !across && spec.lines.length > 1,
      legend: { orientation: "h", y: -0.16, yanchor: "top", x: 0, traceorder: "normal" },
      hoverlabel: { bgcolor: theme.paper, bordercolor: theme.line, font: { color: theme.ink } },
    };
  }

  function draw() {
    const theme = colours();
    for (const place of document.querySelectorAll("[data-chart]")) {
      const spec = specs[place.dataset.chart];
      Plotly.react(place, traces(spec, theme), layout(spec, theme),
        { displayModeBar: false, responsive: true });
      if (place.dataset.drawn) continue;
      place.dataset.drawn = "yes";
      place.on("plotly_click", (event) => {
        const link = event.points[0].customdata;
        if (link) window.location.assign(link);
      });
    }
  }

  async function advise() {
    const place = document.getElementById("advice");
    if (!place) return;
    try {
      const answer = await fetch(place.dataset.from);
      if (answer.ok) place.innerHTML = await answer.text(); // our own template, escaped
    } catch { /* the link to its page stays */ }
  }

  if (holder) {
    document.addEventListener("theme", draw);
    draw();
  }
  advise();
})();
