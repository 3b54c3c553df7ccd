"use strict";
/* The live page: figures that follow the run, and its conversations. It asks its own server alone, and changes nothing. */
(() => {
  const { el, header, notices, tiles, progress, binding, checks, calls, percentiles, failures, bill, sessions, talk, rowCard,
    card, number, share, span, moment, some } = DeepSwarm;
  const main = document.getElementById("page");
  const ask = async (path) => {
    const reply = await fetch(path, { cache: "no-store" });
    if (reply.status === 204) return null;
    const found = await reply.json();
    if (!reply.ok) throw new Error(found.error || `status ${reply.status}`);
    return found;
  };

  /* --- the figures ----------------------------------------------------------------------------------------------- */
  /** A place whose content is made anew only when it differs, so that a selection or a scroll survives. */
  const place = (make, kind) => {
    const host = el("div", kind ? { class: kind } : {});
    let before = "";
    return { host, update: (facts) => {
      const made = [make(facts)].flat();
      const now = made.map((each) => each.outerHTML).join();
      if (now !== before) host.replaceChildren(...made);
      before = now;
    } };
  };
  const reading = (facts) => facts.reading.read < facts.reading.of
    ? el("div", { class: "card notice good" }, `The journal is being read: ${share(facts.reading.read, facts.reading.of)} of ${number(facts.reading.of)} events. The figures grow until then.`)
    : el("div", {});
  const link = el("div", { class: "card notice bad", role: "status" });
  link.hidden = true;
  const trouble = (text) => { link.textContent = text; link.hidden = !text; };

  const overview = el("div", {});
  const charts = el("div", {});
  const upper = [place(header), place((facts) => [...notices(facts), reading(facts)])];
  const middle = [place(tiles), place(progress), place(binding)];
  const lower = [place((facts) => [el("h2", {}, "The sums, and what went wrong"), el("div", { class: "halves" }, checks(facts), calls(facts))]),
    place(failures, "progress"), place((facts) => [el("h2", {}, "Percentiles and money"), percentiles(facts)]), place(bill, "progress"),
    place((facts) => [el("h2", {}, "Sessions"), ...sessions(facts)])];
  overview.append(...middle.map((each) => each.host), el("h2", {}, "The run over time"), charts, ...lower.map((each) => each.host));

  let drawn = null;
  const show = (facts) => {
    if (facts.trouble) return trouble(facts.trouble);
    trouble("");
    document.title = `${facts.run.folder}: ${facts.run.state}`;
    for (const each of [...upper, ...middle, ...lower]) each.update(facts);
    if (drawn === null) drawn = DeepSwarmCharts.draw(charts, facts);
    else drawn.update(facts);
    browser.told(facts);
  };

  /* --- the conversations ----------------------------------------------------------------------------------------- */
  const attempts = (id) => {
    const button = el("button", { type: "button" }, "All attempts and raw replies");
    button.addEventListener("click", async () => {
      button.disabled = true;
      try {
        const found = await ask(`api/attempts?id=${encodeURIComponent(id)}`);
        button.replaceWith(...found.attempts.map((one) => el("div", { class: "said" },
          el("div", { class: "who" }, [moment(one.utc), one.event, one.label || one.outcome || one.why, one.status && `status ${one.status}`, one.detail || one.reason]
            .filter(Boolean).join(" · ")),
          one.reply ? el("pre", { class: "raw" }, one.reply + (one.cut ? `… (${number(one.cut)} more characters: deepswarm show)` : "")) : null)));
      } catch (error) {
        button.disabled = false;
        button.textContent = `Not found: ${error.message}; again`;
      }
    });
    return button;
  };
  const open = (made, row) => {
    const body = talk(row);
    if (row.id) body.append(el("div", {}, attempts(row.id)));
    made.append(body);
  };

  const browser = (() => {
    const KINDS = ["all", "answered", "failed", "kept", "dropped"];
    const search = el("input", { type: "search", placeholder: "Search ids, seeds, answers and reasons", "aria-label": "Search the conversations", maxlength: "200" });
    const again = el("button", { type: "button" }, "Newest");
    const buttons = KINDS.map((kind) => el("button", { type: "button", "aria-pressed": String(kind === "all") }, kind));
    const list = el("div", { class: "rows" });
    const more = el("button", { type: "button" }, "Show more");
    const state = el("span", {});
    const host = el("div", {}, el("h2", {}, "Conversations"), el("div", { class: "tools" }, ...buttons, search, again), list, el("div", { class: "more" }, more, state));
    let kind = "all";
    let turn = 0;
    let next = null;
    let looked = 0;
    let shown = 0;
    let begun = false;
    /** Ask on until a screen is full, there is no more, or something else is wanted. */
    const fill = async (anew) => {
      const mine = ++turn;
      if (anew) { list.replaceChildren(); next = null; looked = shown = 0; }
      more.hidden = true;
      const wanted = shown + 50;
      try {
        do {
          state.textContent = looked ? `searching … ${number(looked)} looked at` : "";
          const query = new URLSearchParams({ which: kind, find: search.value.trim() });
          if (next !== null) query.set("from", next);
          const page = await ask(`api/rows?${query}`);
          if (mine !== turn) return;
          list.append(...page.rows.map((row) => rowCard(row, open)));
          [next, looked, shown] = [page.next, looked + page.looked, shown + page.rows.length];
        } while (next !== null && shown < wanted);
        more.hidden = next === null;
        state.textContent = shown ? `${some(shown, "conversation")} shown, ${number(looked)} looked at, the newest first` : `Nothing of the kind among ${number(looked)}.`;
      } catch (error) {
        if (mine === turn) { state.textContent = `Not found: ${error.message}`; more.hidden = false; }
      }
    };
    buttons.forEach((button, index) => button.addEventListener("click", () => {
      kind = KINDS[index];
      buttons.forEach((each) => each.setAttribute("aria-pressed", String(each === button)));
      fill(true);
    }));
    let waiting = 0;
    search.addEventListener("input", () => { clearTimeout(waiting); waiting = setTimeout(() => fill(true), 250); });
    again.addEventListener("click", () => fill(true));
    more.addEventListener("click", () => fill(false));
    return {
      host,
      enter: () => { if (!begun) { begun = true; fill(true); } },
      told: (facts) => {
        const { done, failed, rejected, kept, dropped } = facts.seeds;
        const counts = { all: done + failed + rejected, answered: done, failed: failed + rejected, kept, dropped };
        buttons.forEach((button, index) => {
          const count = counts[KINDS[index]];
          button.hidden = count === null;
          button.textContent = `${KINDS[index]} ${number(count)}`;
        });
      },
    };
  })();

  /* --- the page -------------------------------------------------------------------------------------------------- */
  const tabs = [["Overview", overview], ["Conversations", browser.host]].map(([name, host]) => ({ name, host, button: el("button", { type: "button" }, name) }));
  const choose = (chosen) => {
    for (const tab of tabs) {
      tab.host.hidden = tab !== chosen;
      tab.button.setAttribute("aria-pressed", String(tab === chosen));
    }
    if (chosen.host === browser.host) browser.enter();
  };
  tabs.forEach((tab) => tab.button.addEventListener("click", () => { location.hash = tab.name.toLowerCase(); choose(tab); }));
  main.append(upper[0].host, el("nav", { class: "tools tabs" }, ...tabs.map((tab) => tab.button)), link, upper[1].host, overview, browser.host);
  choose(tabs.find((tab) => location.hash === `#${tab.name.toLowerCase()}`) || tabs[0]);

  const rest = (milliseconds) => new Promise((done) => { setTimeout(done, milliseconds); });
  const follow = async () => {
    let seen = 0;
    for (;;) {
      try {
        const news = await ask(`api/state?seen=${seen}`);
        if (news !== null) {
          seen = news.number;
          show(news.facts);
        }
        await rest(document.hidden ? 5000 : seen ? 1000 : 100);
      } catch (error) {
        trouble(`The page's server does not answer (${error.message}). Is \`deepswarm view\` still there?`);
        await rest(2000);
      }
    }
  };
  follow();
})();
