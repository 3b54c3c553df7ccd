"use strict";
/* The report: everything is in this one file; nothing is asked of any address. */
(() => {
  const { el, header, notices, tiles, progress, binding, checks, calls, percentiles, failures, bill, sessions, talk, rowCard, number } = DeepSwarm;
  const read = (id) => JSON.parse(document.getElementById(id).textContent);
  const facts = read("facts");
  const rows = read("rows");
  const main = document.getElementById("page");
  const open = (card, row) => card.append(talk(row));

  /** A list of rows with a search in all of their text. */
  const listed = (title, all, about) => {
    const list = el("div", { class: "rows" });
    const search = el("input", { type: "search", placeholder: "Search in these rows", "aria-label": `Search in: ${title}` });
    const more = el("button", { type: "button" }, "Show more");
    const foot = el("div", { class: "more" }, more, el("span", {}, about));
    const texts = all.map((row) => JSON.stringify(Object.values(row)).toLowerCase());
    let shown = 0;
    let found = all;
    const grow = () => {
      list.append(...found.slice(shown, shown + 50).map((row) => rowCard(row, open)));
      shown = Math.min(found.length, shown + 50);
      more.hidden = shown >= found.length;
    };
    const look = () => {
      const wanted = JSON.stringify(search.value.toLowerCase()).slice(1, -1);
      found = all.filter((_, index) => texts[index].includes(wanted));
      shown = 0;
      list.replaceChildren();
      grow();
      if (!found.length) list.append(el("div", { class: "soft" }, "No row says that."));
    };
    search.addEventListener("input", look);
    more.addEventListener("click", grow);
    look();
    return [el("h2", {}, title), el("div", { class: "tools" }, search), list, foot];
  };

  main.append(...header(facts), ...notices(facts), tiles(facts), progress(facts), binding(facts));
  const charts = el("div", {});
  main.append(el("h2", {}, "The run over time"), charts);
  DeepSwarmCharts.draw(charts, facts);
  main.append(el("h2", {}, "The sums, and what went wrong"),
    el("div", { class: "halves" }, checks(facts), calls(facts)), el("div", { class: "progress" }, failures(facts)));
  main.append(el("h2", {}, "Percentiles and money"), percentiles(facts), el("div", { class: "progress" }, bill(facts)));
  if (rows.unreadable) main.append(el("div", { class: "card notice bad" }, rows.unreadable));
  if (rows.sample.length) main.append(...listed(rows.sample.length < 50 ? "All answers" : `${rows.sample.length} answers by chance`, rows.sample,
    `${number(rows.sample.length)} of ${number(facts.seeds.done)} answers; results.jsonl has all of them`));
  if (rows.failed.length) main.append(...listed("Failures", rows.failed,
    `${number(rows.failed.length)} of ${number(facts.seeds.failed + facts.seeds.rejected)} failures; failed.jsonl has all of them`));
  main.append(el("h2", {}, "Sessions"), ...sessions(facts));
  main.append(el("footer", {}, `Made by DeepSwarm ${facts.deepswarm} at ${DeepSwarm.moment(facts.made_utc)}. Times are UTC; the time of running leaves out the hours between sessions. The same figures: report.md, summary.json.`));
})();
