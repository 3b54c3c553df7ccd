"use strict";
/* What report and live page have in common: facts in (summary.json), panels out.
   All that comes from a run is text: `el` makes text nodes of strings, and nothing here ever parses markup. */
const DeepSwarm = (() => {
  const el = (name, attributes, ...children) => {
    const made = document.createElement(name);
    for (const [key, value] of Object.entries(attributes || {})) made.setAttribute(key, value);
    made.append(...children.filter((child) => child !== null && child !== undefined));
    return made;
  };

  /* --- numbers for people -------------------------------------------------------------------------------------- */
  const number = (value) => (value === null || value === undefined ? "?" : Math.round(value).toLocaleString("en-US"));
  const digits = (value, most = 3) =>
    value === null || value === undefined ? "?" : value.toLocaleString("en-US", { maximumSignificantDigits: most });
  const short = (value) =>
    value === null || value === undefined ? "?"
      : Math.abs(value) < 10000 ? digits(value)
      : value.toLocaleString("en-US", { notation: "compact", maximumSignificantDigits: 3 });
  const share = (part, whole) => (whole ? `${(100 * part / whole).toFixed(part === whole || !part ? 0 : 1)} %` : "0 %");
  const span = (seconds) => {
    if (seconds === null || seconds === undefined) return "?";
    if (seconds < 1) return seconds ? `${digits(seconds, 2)} s` : "0 s";
    if (seconds < 100) return `${digits(seconds)} s`;
    if (seconds < 5400) return `${Math.round(seconds / 60)} min`;
    if (seconds < 172800) return `${digits(seconds / 3600, 2)} h`;
    return `${digits(seconds / 86400, 2)} days`;
  };
  const moment = (utc) => (utc === null || utc === undefined ? "?" : `${new Date(utc * 1000).toISOString().slice(0, 16).replace("T", " ")} UTC`);
  const dollars = (value) => {
    const amount = Number(value);
    return `$${amount.toLocaleString("en-US", amount && Math.abs(amount) < 1
      ? { maximumSignificantDigits: 3 } : { minimumFractionDigits: 2, maximumFractionDigits: 2 })}`;
  };
  const some = (count, one, many) => `${number(count)} ${count === 1 ? one : many || `${one}s`}`;

  /* --- panels -------------------------------------------------------------------------------------------------- */
  const card = (title, ...children) => el("section", { class: "card" }, title ? el("h3", {}, title) : null, ...children);
  const pill = (text, kind) => el("span", { class: `pill ${/^[a-z]+$/.test(kind || text) ? kind || text : ""}` }, text);
  const table = (heads, rows) => el("div", { class: "wide" }, el("table", {},
    el("thead", {}, el("tr", {}, ...heads.map((head, index) => el("th", index && heads.numbers !== false ? { class: "number" } : {}, head)))),
    el("tbody", {}, ...rows.map((row) => el("tr", {}, ...row.map((cell, index) =>
      el("td", index ? (heads.numbers === false ? {} : { class: "number" }) : { class: "name" }, cell)))))));
  const texts = (heads, rows) => { heads.numbers = false; return table(heads, rows); };

  const header = (facts) => {
    const run = facts.run;
    const parts = [run.model, run.task_type, run.started_utc === null ? null : `begun ${moment(run.started_utc)}`,
      run.last_event_utc === null ? null : `last event ${moment(run.last_event_utc)}`];
    return [
      el("div", { class: "brand" }, "DeepSwarm"),
      el("div", { class: "heading" }, el("h1", {}, run.folder), pill(run.state), run.simulated ? pill("simulated") : null),
      el("div", { class: "subtitle" }, parts.filter(Boolean).join(" · ")),
    ];
  };

  const notices = (facts) => {
    const made = [];
    if (!facts.journal.sound)
      made.push(el("div", { class: "card notice bad" }, el("h3", {}, "The journal is damaged"), facts.journal.damage));
    if (facts.run.simulated)
      made.push(el("div", { class: "card notice" }, "No model was asked: every answer is made up and nothing was spent. Do not train on it."));
    if (facts.run.why)
      made.push(el("div", { class: "card notice" }, el("h3", {}, `Why it is ${facts.run.state}`), facts.run.why));
    return made;
  };

  const spent = (facts) => {
    const bill = facts.bill;
    const nothing = Number(bill.spent) === 0;
    const value = bill.models_without_price.length && nothing ? "unknown" : dollars(bill.spent);
    const beside = bill.possibly_billed;
    const about = facts.run.simulated ? "so many tokens would cost; nothing was spent"
      : bill.models_without_price.length ? `no price known: ${bill.models_without_price.join(", ")}`
      : beside.calls ? `${beside.at_most === null ? "unknown" : `up to ${dollars(beside.at_most)}`} possibly billed beside it`
      : bill.cache_share === null ? "exact, as the provider counted" : `${share(bill.cache_share, 1)} of prompts from the cache`;
    return [bill.complete || value === "unknown" ? value : `≥ ${value}`, about];
  };

  const tiles = (facts) => {
    const { seeds, run, rates, answer_s: time, tokens, calls } = facts;
    const bad = seeds.failed + seeds.rejected;
    const hourly = run.running_s > 0 ? (seeds.done / run.running_s) * 3600 : null;
    const [money, about] = spent(facts);
    const made = [
      ["Answered", number(seeds.done), seeds.total === null ? "" : `of ${some(seeds.total, "seed")} · ${share(seeds.done, seeds.total)}`],
      ["Failed", number(bad), bad ? `${number(seeds.failed)} failed · ${number(seeds.rejected)} rejected` : "none"],
      seeds.kept === null ? ["Left", number(seeds.left), calls.under_way ? `${number(calls.under_way)} under way` : "nothing under way"]
        : ["Kept by the filters", number(seeds.kept), `${number(seeds.dropped)} dropped`],
      ["Spent", money, about],
      ["Running time", span(run.running_s), [some(run.session_count, "session"),
        facts.pauses.count ? `${span(facts.pauses.seconds)} paused` : null].filter(Boolean).join(" · ")],
      ["Answers an hour", hourly === null ? "?" : short(hourly), rates.tokens_out_per_s === null ? "" : `${short(rates.tokens_out_per_s)} tokens/s · ${number(calls.most_at_once)} calls at once at most`],
      ["An answer takes", time.count ? span(time.p50) : "?", time.count ? `p95 ${span(time.p95)} · p99 ${span(time.p99)}` : "none yet"],
      ["Tokens written", short(tokens.out), `${short(tokens.in)} read${tokens.cached ? ` · ${short(tokens.cached)} from the cache` : ""}`],
    ];
    return el("div", { class: "tiles" }, ...made.map(([title, value, text]) =>
      el("div", { class: "card tile" }, el("h3", {}, title), el("div", { class: "value" }, value), el("div", { class: "about" }, text))));
  };

  const bar = (parts) => {
    const whole = parts.reduce((sum, [, , count]) => sum + count, 0);
    const shown = parts.filter(([, , count]) => count > 0);
    const strip = el("div", { class: "bar" }, ...shown.map(([, kind, count]) => {
      const piece = el("span", { class: kind });
      piece.style.flex = `${count / (whole || 1)} 0 0`;
      return piece;
    }));
    return [strip, el("div", { class: "key" }, ...shown.map(([name, kind, count, text]) =>
      el("span", {}, el("span", { class: `dot ${kind}` }), `${name} ${text || number(count)}`)))];
  };

  const progress = (facts) => {
    const { done, rejected, failed, left } = facts.seeds;
    return el("div", { class: "card progress" }, ...bar([
      ["done", "done", done], ["rejected", "rejected", rejected], ["failed", "failed", failed], ["left", "left", left || 0]]));
  };

  const binding = (facts) => {
    const pace = facts.pace;
    if (!pace.why) return el("div", {});
    const shares = Object.entries(pace.shares_of_time).slice(0, 5);
    return el("div", { class: "card notice good" }, el("h3", {}, "What limited it, and what more would give"), pace.why,
      ...(shares.length > 1 ? [el("h3", { class: "soft" }), ...bar(shares.map(([what, part], index) => [what, `kind${index}`, part, share(part, 1)]))] : []));
  };

  const checks = (facts) => card("The sums",
    facts.seeds.checks.length ? el("ul", { class: "checks" }, ...facts.seeds.checks.map((check) => el("li", check.holds ? {} : { class: "bad" }, check.what)))
      : el("div", { class: "soft" }, "The counts cannot be read."));

  const calls = (facts) => {
    const rows = Object.entries(facts.calls.by_class).map(([name, count]) => [name === "ok" ? "answered" : name, number(count), share(count, facts.calls.ended)]);
    if (facts.calls.under_way) rows.push(["under way", number(facts.calls.under_way), ""]);
    return card("Calls", table(["", "calls", "share"], rows.length ? rows : [["none", "", ""]]));
  };

  const percentiles = (facts) => {
    const names = ["min", "p50", "p90", "p95", "p99", "max", "mean"];
    const row = (name, values, shown) => [name, ...names.map((each) => (values.count ? shown(values[each]) : ""))];
    return card("Percentiles", table(["", ...names], [
      row("an answer takes", facts.answer_s, span), row("tokens read", facts.tokens_in, short), row("tokens written", facts.tokens_out, short)]));
  };

  const failures = (facts) => {
    if (!facts.failures.length) return card("Failures by class", el("div", { class: "soft" }, "No seed failed."));
    return card("Failures by class", texts(["class", "seeds", "for example"], facts.failures.map((each) => [
      each.class, number(each.count), el("div", {}, ...each.examples.slice(0, 2).map((one) =>
        el("div", {}, el("span", { class: "soft" }, `${one.id ?? "?"}: `), one.reason || "no reason was given"))),
    ])));
  };

  const bill = (facts) => {
    const lines = facts.bill.lines;
    if (!lines.length) return card("The bill", el("div", { class: "soft" }, "Nothing was charged."));
    const body = table(["", "calls", "tokens in", "cached", "tokens out", "thinking", "USD"], [
      ...lines.map((line) => [`${line.model}, ${line.cause}`, number(line.calls), number(line.tokens_in), number(line.cached),
        number(line.tokens_out), number(line.reasoning), line.calls_without_price === line.calls ? "unknown" : line.cost]),
      ["all", number(lines.reduce((sum, line) => sum + line.calls, 0)), "", "", "", "", facts.bill.spent]]);
    const notes = facts.bill.prices.map((price) => `prices of ${price.model}: ${price.source}${price.checked ? `, checked ${price.checked}` : ""}`);
    if (facts.bill.refused_calls) notes.unshift(`${some(facts.bill.refused_calls, "call")} refused by the provider, which costs nothing`);
    return card(facts.run.simulated ? "The bill (simulated: nothing was spent)" : "The bill", body, el("div", { class: "facts" }, notes.join(" · ")));
  };

  const sessions = (facts) => {
    const rows = facts.run.sessions.map((one, index) => [`${facts.run.session_count - facts.run.sessions.length + index + 1}`,
      moment(one.utc), one.model, one.how ? [one.how, one.why].filter(Boolean).join(": ") : "no end was written"]);
    const pauses = facts.pauses.last.map((one) => [one.label, span(one.second), one.seconds === null ? "goes on" : span(one.seconds), one.why]);
    return [card("Sessions", texts(["", "begun", "model", "how it ended"], rows)),
      pauses.length ? card("Pauses", texts(["why", "after", "for", "in words"], pauses)) : null].filter(Boolean);
  };

  /* --- one row: a conversation --------------------------------------------------------------------------------- */
  const said = (who, text, kind, raw) => text ? el("div", { class: `said ${kind}` }, el("div", { class: "who" }, who), el("pre", raw ? { class: "raw" } : {}, text)) : null;
  const talk = (row) => {
    const about = [row.model, row.attempts ? some(row.attempts, "attempt") : null, row.call_s === undefined ? null : span(row.call_s),
      row.tokens_out === undefined ? null : some(row.tokens_out, "token"), row.utc ? moment(row.utc) : null];
    return el("div", { class: "talk" },
      row.reason ? said(row.filter ? `dropped by ${row.filter}` : row.class || "reason", row.reason, "bad") : null,
      ...(row.asked || []).map((each) => said(each.role, each.text, each.role === "assistant" ? "assistant" : "user")),
      said("seed", row.seed, "user", true), said("thinking", row.thinking, "thinking"), said("assistant", row.answer, "assistant"),
      said("last raw reply", row.last_reply, "bad", true), el("div", { class: "facts" }, about.filter(Boolean).join(" · ")));
  };
  const rowCard = (row, open) => {
    const kind = row.filter ? "dropped" : row.outcome;
    const asked = (row.asked || []).map((each) => each.text);
    const snippet = row.snippet || row.answer || row.reason || asked[asked.length - 1] || row.seed || "";
    const made = el("details", { class: "card row" }, el("summary", {}, el("span", { class: "id" }, row.id || "?"),
      pill(row.class || row.filter || kind, kind), el("span", { class: "snippet" }, snippet.slice(0, 240))));
    let built = false;
    made.addEventListener("toggle", () => { if (made.open && !built) { built = true; open(made, row); } });
    return made;
  };

  return { el, number, digits, short, share, span, moment, dollars, some, card, pill, header, notices, tiles, progress, binding,
    checks, calls, percentiles, failures, bill, sessions, talk, rowCard };
})();
