// The time line of an episode: a column a step; the action, what each slot held, and the reward.

const SVG = "http://www.w3.org/2000/svg";
const drawn = (name, attributes, text) => {
  const made = document.createElementNS(SVG, name);
  for (const [key, value] of Object.entries(attributes)) made.setAttribute(key, value);
  if (text !== undefined) made.textContent = text;
  return made;
};
const VERBS = { next: "N", store: "S", update: "U", recall: "R", answer: "A", start: "B" };
const NARROW = 30, WIDE = 54, ROW = 22, HEAD = 58, TOP = 30, BARS = 46;

const rewardOf = (step) => (Number.isFinite(step.reward) ? step.reward : 0);

// `room`: pixels that it may take without scrolling.
const timeline = (episode, room, go) => {
  const STEP = Math.max(NARROW, Math.min(WIDE, Math.floor((room - HEAD - 10) / (episode.steps.length + 1))));
  const slots = Math.max(1, episode.memory_slots || 0, ...episode.steps.map((step) => (step.slots || []).length));
  const used = Math.max(1, ...episode.steps.map((step) => (step.slots || []).length), ((episode.end || {}).slots || []).length);
  const rows = Math.min(slots, used + 1);
  const steps = episode.steps.length, width = (steps + 1) * STEP + 8, height = TOP + rows * ROW + BARS + 12;
  const needed = new Set(episode.support || []);
  const most = Math.max(0.05, ...episode.steps.map((step) => Math.abs(rewardOf(step))));
  const base = TOP + rows * ROW + 8 + BARS / 2;
  const picture = drawn("svg", { width, height, viewBox: `0 0 ${width} ${height}`, "aria-hidden": "true" });
  const labels = drawn("svg", { width: HEAD, height, class: "labels", "aria-hidden": "true" });
  labels.append(drawn("text", { x: 10, y: 20, class: "label" }, "action"));
  for (let k = 0; k < rows; k += 1) labels.append(drawn("text", { x: 10, y: TOP + k * ROW + 15, class: "label" }, `slot ${k + 1}`));
  labels.append(drawn("text", { x: 10, y: base + 4, class: "label" }, "reward"));
  picture.append(drawn("line", { x1: 0, x2: width - 8, y1: base, y2: base, class: "zero" }));
  for (let t = 0; t <= steps; t += 1) {
    const step = episode.steps[t] || episode.end || {};
    const column = drawn("g", { class: "column", "data-step": t });
    const x = t * STEP;
    column.append(drawn("rect", { x: x + 0.75, y: 2, width: STEP - 1.5, height: height - 4, rx: 5, class: "hit" }));
    if (t < steps) {
      const kind = step.invalid ? "bad" : step.kind in VERBS ? step.kind : "next";
      column.append(drawn("rect", { x: x + 4, y: 6, width: STEP - 8, height: 19, rx: 5, class: `kind-${kind}` }));
      column.append(drawn("text", { x: x + STEP / 2, y: 20, class: "verb" }, step.slot ? `${VERBS[step.kind] ?? ""}${step.slot}` : VERBS[step.kind] ?? "?"));
      const reward = rewardOf(step), tall = (Math.abs(reward) / most) * (BARS / 2 - 3);
      if (reward) column.append(drawn("rect", { x: x + 9, y: reward > 0 ? base - tall : base, width: STEP - 18, height: Math.max(1.5, tall), rx: 2, class: reward > 0 ? "gain" : "loss" }));
    } else {
      column.append(drawn("text", { x: x + STEP / 2, y: 20, class: "label", "text-anchor": "middle" }, "end"));
    }
    (step.slots || []).slice(0, rows).forEach((slot, k) => {
      const units = slot.units || [], y = TOP + k * ROW;
      const need = units.some((unit) => needed.has(unit));
      column.append(drawn("rect", { x: x + 2, y: y + 2, width: STEP - 4, height: ROW - 4, rx: 4, class: need ? "cell need" : "cell", "fill-opacity": (0.1 + 0.55 * (slot.salience ?? 0.5)).toFixed(2) }));
      const said = slot.words !== undefined ? "“”" : units.map((unit) => unit + 1).join(" ");
      column.append(drawn("text", { x: x + STEP / 2, y: y + 15, "text-anchor": "middle", ...(said.length > 4 ? { textLength: STEP - 7, lengthAdjust: "spacingAndGlyphs" } : {}) }, said));
    });
    if (t < steps && step.kind === "recall" && !step.invalid) column.append(drawn("circle", { cx: x + STEP / 2, cy: TOP + (step.slot - 1) * ROW + ROW / 2, r: ROW / 2 - 1, class: "link" }));
    column.addEventListener("click", () => go(t));
    picture.append(column);
  }
  return element("div", { class: "track" }, labels, picture);
};

const markStep = (root, t) => {
  for (const column of all(".column", root)) column.classList.toggle("now", Number(column.dataset.step) === t);
  const now = one(".column.now .hit", root);
  const [left, wide] = now ? [Number(now.getAttribute("x")), Number(now.getAttribute("width"))] : [0, 0];
  const room = root.clientWidth - HEAD;
  if (left < root.scrollLeft || left + 2 * wide > root.scrollLeft + room) root.scrollLeft = left - room / 2;
};
