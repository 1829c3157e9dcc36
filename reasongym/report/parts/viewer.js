// The episode viewer: filters, list, and one episode stepped through. Blocks of episodes are unpacked when they are opened.

(() => {
  const index = JSON.parse(one("#episode-index").textContent);
  if (!index.length) return;
  const form = one("#filters"), list = one("#list"), LISTED = 300;
  const blocks = new Map();
  let shown = [], current = null, episode = null, at = 0;

  const unpack = async (block) => {
    if (!blocks.has(block)) {
      const bytes = Uint8Array.from(atob(one(`#block-${block}`).textContent), (letter) => letter.charCodeAt(0));
      const stream = new Blob([bytes]).stream().pipeThrough(new DecompressionStream("gzip"));
      blocks.set(block, JSON.parse(await new Response(stream).text()));
    }
    return blocks.get(block);
  };

  const sign = (value, places = 3) => (value === null || value === undefined ? "–" : value === 0 ? "0" : `${value > 0 ? "+" : "−"}${Math.abs(value).toFixed(places)}`);
  const tone = (value) => (value > 0 ? "pos" : value < 0 ? "neg" : "zero");
  const outcome = (entry) => (entry.success === true ? "right" : entry.success === false ? "wrong" : "other");

  // ---- filters and list
  for (const name of ["suite", "agent", "setting", "task"]) {
    const values = [...new Set(index.map((entry) => entry[name]))].sort((a, b) => a.localeCompare(b, "en", { numeric: true }));
    form.elements[name].append(element("option", { value: "" }, "all"), ...values.map((value) => element("option", { value }, value || "–")));
    if (name === "suite" && values.length < 2) form.elements[name].parentElement.hidden = true;
  }
  const matches = (entry) =>
    ["suite", "agent", "setting", "task"].every((name) => !form.elements[name].selectedIndex || entry[name] === form.elements[name].value) &&
    (!form.elements.success.value || outcome(entry) === form.elements.success.value) &&
    form.elements.words.value.toLowerCase().split(/\s+/).every((word) => entry.question.toLowerCase().includes(word));

  const fill = () => {
    shown = index.filter(matches);
    one("#count").textContent = `${shown.length} of ${index.length} episodes`;
    list.replaceChildren(...shown.slice(0, LISTED).map((entry) => {
      const button = element("button", { type: "button", title: entry.question },
        element("span", { class: "q" }, element("i", { class: `dot ${outcome(entry)}` }), entry.question || entry.name),
        element("small", {}, element("span", {}, `${entry.agent} · ${entry.setting} · ${entry.seed}`), element("span", {}, `${entry.length} steps`)));
      button.addEventListener("click", () => open(entry));
      entry.button = button;
      return element("li", {}, button);
    }));
    if (shown.length > LISTED) list.append(element("li", { class: "more-items" }, `… and ${shown.length - LISTED} more: narrow the filters`));
    one("#nothing").hidden = shown.length > 0;
    one("#shown").hidden = shown.length === 0;
    if (shown.length && !shown.includes(current)) open(shown[0]);
    else mark();
  };
  const mark = () => {
    for (const button of all("button", list)) button.removeAttribute("aria-current");
    if (current && current.button) current.button.setAttribute("aria-current", "true");
  };
  form.addEventListener("input", fill);
  form.addEventListener("submit", (event) => event.preventDefault());

  // ---- one episode
  const open = async (entry, step = 0) => {
    current = entry;
    mark();
    const found = (await unpack(entry.block))[entry.place];
    if (current !== entry) return; // another one was opened meanwhile
    episode = found;
    one("#shown").hidden = false;
    one("#where").textContent = [entry.agent, entry.setting, `seed ${entry.seed}`, entry.name].filter(Boolean).join(" · ");
    one("#question").textContent = entry.question || "(no question)";
    const result = outcome(entry), gold = (episode.gold || []).join(" / ");
    one("#verdict").replaceChildren(
      element("span", { class: `mark ${result}` }, result === "right" ? "✓ right" : result === "wrong" ? "✗ wrong" : "not judged"), ": ",
      episode.truncated ? "cut short" : episode.out_of_steps ? "out of steps" : element("b", {}, episode.answer || "no answer"),
      result === "right" || !gold ? "" : ` (the answer is ${gold})`, ` · return ${sign(episode.return, 2)} in ${episode.steps.length} steps`);
    const others = index.filter((other) => other !== entry && other.name === entry.name && other.question === entry.question && other.setting === entry.setting && other.suite === entry.suite);
    one("#same").replaceChildren(...(others.length ? ["Same problem:"] : []), ...others.slice(0, 12).map((other) => {
      const button = element("button", { type: "button" }, element("i", { class: `dot ${outcome(other)}` }), `${other.agent} · ${other.seed}`);
      button.addEventListener("click", () => open(other));
      return button;
    }));
    one("#timeline").replaceChildren(timeline(episode, one("#timeline").clientWidth, go));
    one("#timeline").scrollLeft = 0;
    one("#place").max = episode.steps.length;
    go(step);
  };

  const unit = (number, needed) => element("span", {}, element("span", { class: "n" }, number + 1), needed.has(number) ? element("span", { class: "need-mark", title: "needed for the answer" }, "★") : "", episode.units?.[number] ?? "(unit not recorded)");
  const wrote = (by) => (by ? `${by[1] === "update" ? "appended" : "stored"} by the agent in step ${by[0] + 1}` : "writer unknown");

  const slotRow = (slot, k, step, needed) => {
    const touched = step.slot === k + 1 && !step.invalid;
    const verb = touched ? `touched` : "";
    if (!slot) return element("li", { class: `${verb} empty` }, element("span", { class: "k" }, k + 1), element("span", {}, touched ? `← ${step.kind}` : "empty"));
    const held = element("div", { class: "held" });
    if (slot.words !== undefined) held.append(element("div", { class: "own" }, `“${slot.words}”`, element("small", {}, `own words, ${wrote(slot.words_by)}`)));
    (slot.units || []).forEach((number, j) => held.append(element("div", {}, unit(number, needed), element("small", {}, wrote((slot.by || [])[j])))));
    const about = [touched ? `← ${step.kind} now` : "", slot.closed ? `gate: closed to ${slot.closed.join(", ")}` : "", slot.recalls ? `recalled ${slot.recalls}×` : ""].filter(Boolean);
    if (about.length) held.append(element("small", {}, about.join(" · ")));
    const salience = element("div", { class: "salience", title: "salience" }, (slot.salience ?? 0).toFixed(2), element("i"));
    salience.lastElementChild.style.setProperty("--v", slot.salience ?? 0);
    return element("li", { class: verb }, element("span", { class: "k" }, k + 1), held, salience);
  };

  const scoreRows = (step) => {
    const rows = [], reasons = step.reasons || {}, weights = episode.weights || {};
    const own = ["outcome", "validity", "memory"];
    for (const name of new Set([...Object.keys(step.scores || {}), ...Object.keys(step.terms || {})])) {
      const score = name === "memory" ? undefined : step.scores?.[name], term = step.terms?.[name];
      rows.push([name, own.includes(name) ? "environment" : episode.prm || "PRM", score, weights[name], term, reasons[name]]);
    }
    for (const [name, score] of Object.entries(step.observed || {})) rows.push([name, `${episode.observer || "observer"} (observer)`, score, undefined, undefined, reasons[`observer: ${name}`]]);
    return rows.map(([name, by, score, weight, term, reason]) => element("tr", {}, element("th", { scope: "row" }, name), element("td", {}, element("small", {}, by)),
      element("td", { class: `num ${tone(score)}` }, score === undefined ? "" : score === null ? "unscored" : sign(score, 2)),
      element("td", { class: "num" }, weight === undefined ? "" : String(weight)), element("td", { class: `num ${tone(term)}` }, term === undefined ? "" : sign(term)),
      element("td", { class: "reason" }, reason || "")));
  };

  const go = (place) => {
    if (!episode) return;
    const total = episode.steps.length;
    at = Math.max(0, Math.min(total, place));
    const step = episode.steps[at] || { ...episode.end, kind: "", over: true }, needed = new Set(episode.support || []);
    markStep(one("#timeline"), at);
    one("#place").value = at;
    one("#position").textContent = at < total ? `step ${at + 1} of ${total}` : `the end, after ${total} steps`;
    one("#first").disabled = one("#back").disabled = at === 0;
    one("#last").disabled = one("#forward").disabled = at === total;
    one("#action").textContent = step.over ? "The episode is over" : step.action || step.kind;
    one("#invalid").textContent = step.invalid ? `illegal: ${step.invalid}` : "";
    const words = [["thought", "Thought"], ["command", "Command"]].filter(([key]) => step[key]);
    one("#words").replaceChildren(...words.flatMap(([key, label]) => [element("dt", {}, label), element("dd", {}, step[key])]));
    one("#prompt").hidden = !step.prompt;
    one("#prompt pre").textContent = step.prompt || "";
    const reading = step.desk !== null && step.desk !== undefined;
    one("#desk").replaceChildren(reading ? unit(step.desk, needed) : "empty: the text is over");
    const slots = step.slots || [], rows = Math.max(slots.length, step.slot || 0);
    one("#slots").replaceChildren(...Array.from({ length: rows }, (_, k) => slotRow(slots[k], k, step, needed)),
      ...(episode.memory_slots > rows ? [element("li", { class: "empty" }, element("span", { class: "k" }, "…"), element("span", {}, `${episode.memory_slots - rows} of ${episode.memory_slots} slots empty`))] : []));
    const chain = step.chain || [];
    one("#chain").replaceChildren(...(chain.length ? chain.map((link) => element("li", {}, ...(link.words !== undefined ? [element("span", { class: "own" }, `“${link.words}” `)] : []), ...(link.units || []).map((number) => element("div", {}, unit(number, needed))), element("small", {}, link.step === null || link.step === undefined ? "" : `slot ${link.slot}, recalled in step ${link.step + 1}`))) : [element("li", { class: "none" }, "nothing recalled yet")]));
    const total_ = episode.steps.slice(0, at + 1).reduce((sum, each) => sum + rewardOf(each), 0);
    one("#reward").textContent = step.over ? `return ${sign(total_, 3)}` : `reward ${sign(step.reward)} · return so far ${sign(total_)}`;
    one("#scores").closest("table").hidden = Boolean(step.over);
    one("#scores").replaceChildren(...(step.over ? [] : scoreRows(step)));
    const read = reading ? step.desk : (episode.units || []).length, held = new Set(slots.flatMap((slot) => slot.units || []));
    one("#text").replaceChildren(...(episode.units || []).map((_, number) => element("li", { class: [number > read ? "unread" : "", number === step.desk ? "now" : "", held.has(number) ? "held" : ""].join(" ").trim() }, unit(number, needed))));
  };

  const neighbour = (by) => {
    const next = shown[shown.indexOf(current) + by];
    if (next) open(next).then(() => next.button?.scrollIntoView({ block: "nearest" }));
  };
  one("#first").addEventListener("click", () => go(0));
  one("#back").addEventListener("click", () => go(at - 1));
  one("#forward").addEventListener("click", () => go(at + 1));
  one("#last").addEventListener("click", () => go(episode.steps.length));
  one("#place").addEventListener("input", (event) => go(Number(event.target.value)));
  document.addEventListener("keydown", (event) => {
    if (event.ctrlKey || event.metaKey || event.altKey || /^(INPUT|SELECT|TEXTAREA)$/.test(event.target.tagName)) return;
    const box = one("#shown").getBoundingClientRect();
    if (box.bottom < 60 || box.top > innerHeight || !box.height) return; // only while the viewer is in sight
    const act = { ArrowLeft: () => go(at - 1), ArrowRight: () => go(at + 1), Home: () => go(0), End: () => go(episode.steps.length), "[": () => neighbour(-1), "]": () => neighbour(1) }[event.key];
    if (act) {
      event.preventDefault();
      act();
    }
  });
  fill();
})();
