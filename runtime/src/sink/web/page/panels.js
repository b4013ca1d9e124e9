// The panels: numbers, bars, sparklines, alarms and the model card. Everything is put in as text, never as HTML.

const POINTS = 300;
/// A course is as wide as this many points until it has more.
const LEAST_POINTS = 60;

const FLAGS = {
  invalid_explanation: "Map or scores are not numbers, or out of their range: there is no class.",
  empty_map: "The predictor was shown next to nothing.",
  full_map: "The predictor was shown next to everything: the attribution map explains nothing.",
  insufficient: "The whole image gives another class, or is far more convincing than what the predictor saw.",
  incomplete: "The class is recognised in what the map left out.",
  unstable: "The map moves when the image is shifted by two pixels.",
  drift: "The map is far from the float reference's.",
  class_changes_at_contour: "Another class is found when the map is cut at 0.5, where its contour is drawn.",
  abstained: "The class was withheld: its probability is below the limit.",
};

export const byId = (id) => document.getElementById(id);

export function element(name, text, className) {
  const made = document.createElement(name);
  if (text !== undefined) made.textContent = text;
  if (className) made.className = className;
  return made;
}

/// Names come from models and files: a sign that breaks a line or turns the direction of reading is shown as its code.
export const printable = (text) =>
  text.replace(/[\p{Cc}\u061c\u200e\u200f\u2028-\u202e\u2066-\u2069\ufeff]/gu, (sign) => `\\u{${sign.codePointAt(0).toString(16)}}`);

export const percent = (ratio) => (Number.isFinite(ratio) ? `${Math.round(100 * ratio)} %` : "–");
const fixed = (value, digits, unit) => (Number.isFinite(value) ? `${value.toFixed(digits)} ${unit}` : "–");

/// Writes a text only where it changes: a screen reader reads every change.
function write(node, text) {
  if (node.textContent !== text) node.textContent = text;
}

/// Class, probability, flags, and the likeliest classes by name.
export function showPrediction({ record }, classes) {
  write(byId("class"), record.class === null ? "no class" : printable(record.class));
  write(byId("probability"), record.probability === null ? "" : percent(record.probability));
  const badges = record.flags.map((flag) => [flag.replaceAll("_", " "), FLAGS[flag] ?? flag, "flag"]);
  if (record.smoothed) badges.push(["smoothed", "Scores and map are averages over the last frames.", "flag mild"]);
  const key = badges.map(([text]) => text).join();
  if (byId("flags").dataset.key !== key) {
    byId("flags").dataset.key = key;
    byId("flags").replaceChildren(...badges.map(([text, meaning, className]) => {
      const badge = element("span", text, className);
      badge.title = meaning;
      badge.append(element("span", `: ${meaning}`, "hidden"));
      return badge;
    }));
  }
  const ranking = record.scores.map((score, index) => {
    return { score: score ?? 0, name: printable(classes[index] ?? `class ${index}`) };
  });
  ranking.sort((a, b) => b.score - a.score);
  showRanking(ranking.slice(0, 5));
}

function showRanking(ranking) {
  const list = byId("ranking");
  while (list.children.length < ranking.length) {
    const item = element("li");
    const bar = element("div", undefined, "bar");
    bar.append(element("span"));
    item.append(element("span", "", "name"), element("span", "", "number"), bar);
    list.append(item);
  }
  while (list.children.length > ranking.length) list.lastChild.remove();
  ranking.forEach(({ name, score }, index) => {
    const [label, number, bar] = list.children[index].children;
    write(label, name);
    write(number, `${(100 * score).toFixed(1)} %`);
    bar.firstChild.style.width = `${100 * score}%`;
  });
}

/// A list of numbers, each with the course of its last values.
export class Meters {
  #list;
  #rows = new Map();

  constructor(list) {
    this.#list = list;
  }

  /// Shows `text` under `name` and adds `value` to its history; `bad` says that it needs attention.
  put(name, text, value, bad = false) {
    let row = this.#rows.get(name);
    if (!row) {
      const canvas = element("canvas");
      canvas.setAttribute("aria-hidden", "true");
      row = { number: element("dd"), canvas, values: [] };
      const drawing = element("dd");
      drawing.append(canvas);
      this.#list.append(element("dt", name), row.number, drawing);
      this.#rows.set(name, row);
    }
    write(row.number, bad ? `⚠ ${text}` : text);
    row.number.classList.toggle("bad", bad);
    row.values.push(Number.isFinite(value) ? value : null);
    if (row.values.length > POINTS) row.values.shift();
    row.canvas.classList.toggle("bad", bad);
    sparkline(row.canvas, row.values);
  }
}

function sparkline(canvas, values) {
  const scale = window.devicePixelRatio || 1;
  const [width, height] = [Math.round(canvas.clientWidth * scale), Math.round(canvas.clientHeight * scale)];
  [canvas.width, canvas.height] = [width, height];
  const known = values.filter((value) => value !== null);
  if (known.length < 2) return;
  const low = Math.min(...known);
  // A course that hardly moves is a flat line, not noise blown up.
  const span = Math.max(Math.max(...known) - low, 0.02 * Math.abs(low), 1e-6);
  const step = (width - 4) / (Math.max(LEAST_POINTS, values.length) - 1);
  const context = canvas.getContext("2d");
  context.strokeStyle = getComputedStyle(canvas).color;
  context.lineWidth = 1.5 * scale;
  context.beginPath();
  let pen = false;
  values.forEach((value, index) => {
    if (value === null) {
      pen = false;
      return;
    }
    // The newest is at the right end.
    const x = width - 2 - (values.length - 1 - index) * step;
    const y = height - 2 - ((value - low) / span) * (height - 4);
    if (pen) context.lineTo(x, y);
    else context.moveTo(x, y);
    pen = true;
  });
  context.stroke();
}

/// Whether the explanations of the last frames hold.
export function showTrust(meters, state, checked) {
  const { trust } = state;
  const notes = [];
  if (state.check_every === 0) notes.push("The explanations of this run are not checked.");
  else if (trust.checked === 0) notes.push("Nothing has been checked yet.");
  else notes.push(`Of the last ${Math.min(64, trust.checked)} checks, one in ${state.check_every} predictions.`);
  if (checked) {
    const { sufficiency, completeness, stability, drift, cut } = checked.checks;
    const parts = [
      ["sufficient", sufficiency],
      ["complete", completeness],
      ["stable", stability],
      ["near the reference", drift],
    ].filter(([, check]) => check);
    if (cut) parts.push(["the same class at the contour", { holds: cut.same_class }]);
    const found = parts.map(([name, check]) => (check.holds ? name : `not ${name}`));
    notes.push(`Frame ${checked.frame}: ${found.join(", ")}.`);
  }
  write(byId("trust-note"), notes.join(" "));
  if (trust.checked > 0) {
    meters.put("Sufficient", percent(trust.sufficiency), trust.sufficiency);
    meters.put("Complete", percent(trust.completeness), trust.completeness);
    meters.put("Stability (IoU)", trust.stability_iou.toFixed(2), trust.stability_iou);
    if (trust.same_class_at_contour !== null) {
      meters.put("Same class at contour", percent(trust.same_class_at_contour), trust.same_class_at_contour);
    }
    if (trust.drift_iou !== null) {
      meters.put("Reference: IoU", trust.drift_iou.toFixed(2), trust.drift_iou);
      meters.put("Reference: Pearson r", trust.drift_pearson?.toFixed(2) ?? "–", trust.drift_pearson);
      meters.put("Reference: same class", percent(trust.drift_agreement), trust.drift_agreement);
    }
  }
  const listed = [...byId("alarms").children].map((item) => item.textContent).join();
  if (listed !== trust.alarms.join()) {
    byId("alarms").replaceChildren(...trust.alarms.map((alarm) => element("li", alarm)));
  }
}

/// Rates, times, losses and temperature.
export function showPace(meters, state) {
  const { counts, inference_ms: inference, latency_ms: latency, thermal } = state;
  meters.put("Predictions a second", state.fps.toFixed(1), state.fps);
  meters.put("Inference (median)", fixed(inference.p50, 1, "ms"), inference.p50);
  meters.put("Inference (95 %)", fixed(inference.p95, 1, "ms"), inference.p95);
  meters.put("Latency (median)", fixed(latency.p50, 1, "ms"), latency.p50);
  meters.put("Latency (95 %)", fixed(latency.p95, 1, "ms"), latency.p95);
  meters.put("Dropped frames", `${counts.dropped} of ${counts.captured}`, counts.dropped);
  meters.put("Damaged frames", `${counts.corrupt}`, counts.corrupt);
  meters.put("Source lost / back", `${counts.stalls} / ${counts.reconnects}`, counts.stalls);
  const { sink_failures: unwritten, client_drops: viewers } = counts;
  if (unwritten > 0) meters.put("Results not written", `${unwritten}`, unwritten, true);
  if (viewers > 0) meters.put("Viewers dropped", `${viewers}`, viewers);
  if (thermal) {
    const slowed = thermal.throttled || thermal.step > 0;
    meters.put("Temperature", fixed(thermal.celsius ?? NaN, 0, "°C"), thermal.celsius, slowed);
    meters.put("Slowed down by heat", slowed ? `step ${thermal.step}` : "no", thermal.step, slowed);
  }
}

/// `name: value` for everything in the manifest that is one value.
function rows(value, name) {
  if (value === null || value === undefined) return [];
  if (Array.isArray(value)) return [[name, value.join(", ")]];
  if (typeof value === "number" && !Number.isInteger(value)) return [[name, String(Number(value.toPrecision(5)))]];
  if (typeof value !== "object") return [[name, String(value)]];
  return Object.entries(value).flatMap(([key, inner]) => {
    const word = key.replaceAll("_", " ");
    return rows(inner, name ? `${name}: ${word}` : word);
  });
}

/// The model card.
export function showModel(model) {
  write(byId("model-name"), `${model.name} (${model.precision}, ${model.width} × ${model.height})`);
  const facts = [
    ["name", model.name],
    ["SHA-256", model.sha256],
    ["kernels", model.kernels],
    ["exchanged while running", `${model.reloads} times`],
    ...rows(model.manifest, "").filter(([name]) => name !== "name"),
  ];
  if (model.reload_fault) facts.unshift(["last exchange failed", model.reload_fault]);
  byId("card-rows").replaceChildren(...facts.flatMap(([name, value]) => [element("dt", name), element("dd", value)]));
}
