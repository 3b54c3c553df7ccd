"use strict";
/* The pictures of a run, drawn by uPlot from summary.json's timeline and histograms. */
const DeepSwarmCharts = (() => {
  const { el, number, short, span, dollars } = DeepSwarm;
  const colour = (name) => getComputedStyle(document.documentElement).getPropertyValue(`--${name}`).trim();
  const faint = (name, per_cent = 16) => `color-mix(in srgb, ${colour(name)} ${per_cent}%, transparent)`;
  const HEIGHT = 210;
  const HOUR = 3600;
  const STEPS = [1, 2, 5, 10, 20, 30, 60, 120, 300, 600, 1200, 1800, HOUR, 2 * HOUR, 3 * HOUR, 6 * HOUR, 12 * HOUR,
    24 * HOUR, 48 * HOUR, 168 * HOUR, 672 * HOUR];
  const clock = (seconds) => `${Math.floor(seconds / HOUR)}:${String((seconds % HOUR) / 60).padStart(2, "0")} h`;
  const tick = (seconds) => seconds === 0 ? "0" : seconds % HOUR === 0 ? `${seconds / HOUR} h` : seconds > HOUR ? clock(seconds)
    : seconds % 60 === 0 ? `${seconds / 60} min` : `${seconds} s`;
  const sums = (values) => { let sum = 0; return values.map((value) => (sum += value)); };
  const value = (shown) => (_, found) => (found === null || found === undefined ? "" : shown(found));

  const axes = (shownX, shownY, more = {}) => [
    { stroke: colour("soft"), grid: { show: false }, ticks: { stroke: colour("line"), size: 5 }, values: (_, found) => found.map(shownX), size: 32, ...more },
    { stroke: colour("soft"), grid: { stroke: colour("line"), width: 1 }, ticks: { show: false }, values: (_, found) => found.map(shownY), size: 54 },
  ];

  /* --- over time ----------------------------------------------------------------------------------------------- */
  const starts = (chart, seconds) => {
    chart.ctx.save();
    chart.ctx.strokeStyle = colour("soft");
    chart.ctx.setLineDash([3 * devicePixelRatio, 4 * devicePixelRatio]);
    for (const second of seconds) {
      const x = Math.round(chart.valToPos(second, "x", true)) + 0.5;
      chart.ctx.beginPath();
      chart.ctx.moveTo(x, chart.bbox.top);
      chart.ctx.lineTo(x, chart.bbox.top + chart.bbox.height);
      chart.ctx.stroke();
    }
    chart.ctx.restore();
  };
  const overTime = (series, shown, options = {}) => (facts) => {
    const sessions = facts.run.sessions.map((one) => one.second).filter((second) => second > 0);
    return {
      scales: { x: { time: false }, y: { range: (_, low, high) => [0, high > 0 ? high * 1.08 : 1] } },
      series: [{ label: "after", value: value(span) }, ...series.map((one) => ({
        label: one.label, stroke: colour(one.colour), width: one.width ?? 1.75, value: value(one.shown || shown),
        fill: one.fill ? faint(one.colour) : undefined, points: { show: false }, spanGaps: false,
        paths: one.steps ? uPlot.paths.stepped({ align: 1 }) : undefined, ...(one.marks ? {
          paths: () => null, points: { show: true, size: 5, width: 0, fill: colour(one.colour), stroke: colour(one.colour) } } : {}),
      }))],
      axes: axes(tick, options.axis || shown, { incrs: STEPS }),
      hooks: { draw: [(chart) => starts(chart, sessions)] },
    };
  };
  const seconds = (line) => line.done.map((_, index) => index * line.bin_s);
  /* The last bin is not over yet: its rate is that of the part that has passed, and not told when that is too short. */
  const rates = (counts, facts) => counts.map((count, index) => {
    const { bin_s: width } = facts.timeline;
    const passed = index === counts.length - 1 ? facts.run.running_s - index * width : width;
    return passed < width / 2 && counts.length > 1 ? null : count / Math.max(passed, 1e-9);
  });

  /* --- how values are spread: bars on a scale of doublings ------------------------------------------------------ */
  const spread = (name, shown) => ({
    has: (facts) => facts[name].counts.length > 0,
    data: (facts) => [facts[name].edges.slice(0, -1).map((edge) => Math.log2(edge)), facts[name].counts],
    options: (facts) => {
      const edges = facts[name].edges;
      const width = edges.length > 1 ? Math.log2(edges[1] / edges[0]) : 1;
      const [least, most] = [Math.log2(edges[0]) - width / 2, Math.log2(edges[edges.length - 1]) + width / 2];
      return {
        scales: { x: { time: false, range: () => [least, most] }, y: { range: (_, low, high) => [0, high * 1.08 || 1] } },
        series: [{ label: "from", value: value((found) => shown(2 ** found)) }, {
          label: "calls", stroke: colour("blue"), fill: faint("blue", 55), width: 0, value: value(number), points: { show: false },
          paths: uPlot.paths.bars({ size: [0.92, 60], align: 1, radius: 0.12 }) }],
        axes: axes((found) => shown(2 ** found), short, { incrs: [0.25, 0.5, 1, 2, 3, 4, 6, 8], space: 60 }),
      };
    },
  });

  const CHARTS = [
    { title: "Seeds that have ended", data: ({ timeline: t }) => [seconds(t), sums(t.done), sums(t.failed.map((count, index) => count + t.rejected[index]))],
      options: overTime([{ label: "done", colour: "done", fill: true }, { label: "failed", colour: "failed" }], number, { axis: short }) },
    { title: "Calls at once: limit, open calls, refusals", data: ({ timeline: t }) => [seconds(t), t.limit, t.flying,
        t.refused.map((count, index) => (count ? t.limit[index] ?? t.flying[index] : null)), t.refused.map((count) => count || null)],
      options: overTime([{ label: "limit", colour: "violet", steps: true }, { label: "open", colour: "blue", fill: true, width: 1 },
        { label: "429", colour: "failed", marks: true }], number, { axis: short }),
      amend: (options, facts) => { options.series[3].value = (_, found, series, index) => (index === null ? "" : number(facts().timeline.refused[index])); } },
    { title: "Answers a minute", data: (facts) => [seconds(facts.timeline), rates(facts.timeline.done, facts).map((rate) => (rate === null ? null : 60 * rate))],
      options: overTime([{ label: "answers a minute", colour: "done", fill: true, width: 1.25 }], short) },
    { title: "Seconds of an answer, on average", data: ({ timeline: t }) => [seconds(t), t.mean_s],
      options: overTime([{ label: "mean", colour: "blue", width: 1.25 }], span) },
    { title: "Tokens written a second", data: (facts) => [seconds(facts.timeline), rates(facts.timeline.tokens_out, facts)],
      options: overTime([{ label: "tokens a second", colour: "violet", fill: true, width: 1.25 }], short) },
    { title: "Spent until then, in US dollars", has: ({ timeline: t, bill }) => Number(bill.spent) > 0, data: ({ timeline: t }) => [seconds(t), t.spent_usd],
      options: overTime([{ label: "spent", colour: "rejected", fill: true, steps: true }], dollars), none: "Nothing was spent, or no price is known." },
  ];
  const SPREADS = [
    { title: "How long answers take", ...spread("answer_s", span) },
    { title: "Tokens of a prompt", ...spread("tokens_in", short) },
    { title: "Tokens of a reply", ...spread("tokens_out", short) },
  ];

  /** Draw all pictures into `host`, and again whenever `update` is called; light and dark follow the system. */
  const draw = (host, first) => {
    let facts = first;
    const framed = (kind, charts) => {
      const grid = el("div", { class: kind });
      host.append(grid);
      return charts.map((chart) => {
        const place = el("div", {});
        grid.append(el("section", { class: "card chart" }, el("h3", {}, chart.title), place));
        return { chart, place, plot: null, shape: "" };
      });
    };
    const places = [...framed("charts", CHARTS), ...framed("charts thirds", SPREADS)];
    const render = (each, anew) => {
      const { chart, place } = each;
      const data = chart.data(facts);
      if (!data[0].length || (chart.has && !chart.has(facts))) {
        if (each.plot) each.plot.destroy();
        each.plot = null;
        place.replaceChildren(el("div", { class: "empty" }, chart.none && data[0].length ? chart.none : "Nothing to draw yet."));
        return;
      }
      const options = chart.options(facts);
      if (chart.amend) chart.amend(options, () => facts);
      const drawn = data.slice(0, options.series.length);
      const shape = `${facts.run.sessions.length} ${SPREADS.includes(chart) ? data[0].join() : ""}`;
      if (each.plot && !anew && each.shape === shape) return void each.plot.setData(drawn);
      if (each.plot) each.plot.destroy();
      place.replaceChildren();
      each.shape = shape;
      each.plot = new uPlot({ width: Math.max(200, place.clientWidth), height: HEIGHT, cursor: { y: false, drag: { x: true, y: false } },
        legend: { markers: { width: 2 } }, ...options }, drawn, place);
    };
    const all = (anew) => places.forEach((each) => render(each, anew));
    new ResizeObserver(() => places.forEach((each) => {
      const width = Math.max(200, each.place.clientWidth);
      if (each.plot && each.plot.width !== width) each.plot.setSize({ width, height: HEIGHT });
    })).observe(host);
    matchMedia("(prefers-color-scheme: dark)").addEventListener("change", () => all(true));
    all(true);
    return { update: (next) => { facts = next; all(false); } };
  };
  return { draw };
})();
