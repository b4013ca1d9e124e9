// The page: events in, panels and image out, and what the controls do.

import { Meters, byId, percent, printable, showModel, showPace, showPrediction, showTrust } from "./panels.js";
import { LiveImage } from "./image.js";

const RETRY_MS = 3000;
/// The page may be served below any path by a proxy: addresses are those of this script's neighbours.
const at = (path) => new URL(path, import.meta.url);
/// A screen reader is not notified more often than this.
const SPOKEN_MS = 3000;

const trust = new Meters(byId("trust"));
const pace = new Meters(byId("pace"));
let state = null;
let prediction = null;
let modelKey = null;
let paused = false;
let spoken = { text: "", at: 0 };

const image = new LiveImage(byId("image"), settings, imageDrawn);

// Controls

function settings() {
  return {
    opacity: Number(byId("opacity").value) / 100,
    scale: byId("colours").value,
    threshold: Number(byId("threshold").value) / 100,
    contour: byId("contour").checked,
    dim: byId("dim").checked,
  };
}

/// Stores a setting in the browser; a browser that stores nothing is not an error.
function remember(key, value) {
  try {
    localStorage.setItem(`comet-edge ${key}`, value);
  } catch {
    // Private windows may refuse.
  }
}

function recall(key) {
  try {
    return localStorage.getItem(`comet-edge ${key}`);
  } catch {
    return null;
  }
}

for (const id of ["opacity", "colours", "threshold", "contour", "dim"]) {
  const control = byId(id);
  const property = control.type === "checkbox" ? "checked" : "value";
  const kept = recall(id);
  if (kept !== null) control[property] = property === "checked" ? kept === "true" : kept;
  // A scale that this version does not have leaves the list without a choice.
  if (control.value === "") control.selectedIndex = 0;
  control.addEventListener("input", () => {
    remember(id, control[property]);
    showSettings();
    image.draw();
  });
}

function showSettings() {
  byId("opacity-value").textContent = `${byId("opacity").value} %`;
  byId("threshold-value").textContent = (Number(byId("threshold").value) / 100).toFixed(2);
}

function showTheme() {
  const theme = byId("theme").value;
  if (theme === "auto") delete document.documentElement.dataset.theme;
  else document.documentElement.dataset.theme = theme;
}

byId("theme").value = recall("theme") ?? "auto";
if (byId("theme").value === "") byId("theme").value = "auto";
byId("theme").addEventListener("input", () => {
  remember("theme", byId("theme").value);
  showTheme();
});
byId("controls").addEventListener("submit", (event) => event.preventDefault());

byId("pause").addEventListener("click", () => {
  paused = !paused;
  byId("pause").setAttribute("aria-pressed", String(paused));
  say(paused ? "The image stands still; the run goes on." : "");
});

byId("snapshot").addEventListener("click", async () => {
  const blob = await image.snapshot(`${describe(prediction)} · ${new Date().toISOString()}`);
  if (!blob) {
    say("There is no image yet.");
    return;
  }
  const link = document.createElement("a");
  link.href = URL.createObjectURL(blob);
  link.download = `comet-edge-${prediction.record.frame}.jpg`;
  link.click();
  setTimeout(() => URL.revokeObjectURL(link.href), RETRY_MS);
  say(`Saved ${link.download}.`);
});

byId("evidence").addEventListener("click", async () => {
  try {
    const response = await fetch(at("api/evidence"), { method: "POST", headers: { "X-Comet-Edge": "1" } });
    say(response.ok ? "Requested: the next prediction is kept as a bundle." : await response.text());
  } catch {
    say("The run cannot be reached.");
  }
});

function say(text) {
  byId("message").textContent = text;
}

// Events

function describe(prediction) {
  if (!prediction) return "no prediction";
  const { record } = prediction;
  const name = record.class === null ? "no class" : `${printable(record.class)} ${percent(record.probability)}`;
  return `${name} · map ${percent(record.mask.mean)} · frame ${record.frame} · ${printable(record.source)}`;
}

function imageDrawn(drawn, frame) {
  prediction = drawn;
  const { record } = drawn;
  const apart = frame - record.frame;
  const note = apart === 0 ? "" : ` The line is slow: the image is ${Math.abs(apart)} frames newer than the map.`;
  byId("caption").textContent = `${describe(drawn)}.${note}`;
  const flags = record.flags.length > 0 ? `, flagged: ${record.flags.join(", ").replaceAll("_", " ")}` : "";
  const name = record.class === null ? null : printable(record.class);
  const text = name === null ? `No class${flags}` : `${name}, ${percent(record.probability)}${flags}`;
  const label = `Camera image: ${text}; the map shows ${percent(record.mask.mean)} of it`;
  byId("image").setAttribute("aria-label", label);
  // The class is spoken when it changes, not its probability with every frame.
  const words = `${name ?? "no class"}${flags}`;
  if (words !== spoken.text && performance.now() - spoken.at >= SPOKEN_MS) {
    spoken = { text: words, at: performance.now() };
    byId("spoken").textContent = text;
  }
}

function onPrediction(event) {
  // A page that is hidden or paused costs the board no images.
  if (paused || document.hidden) return;
  const news = JSON.parse(event.data);
  showPrediction(news, state?.model.classes ?? []);
  if (state) state.checked = news.checked;
  image.show(news);
}

function onState(event) {
  const checked = state?.checked ?? null;
  state = { ...JSON.parse(event.data), checked };
  showSource();
  byId("version").textContent = state.version;
  if (document.hidden) return;
  showTrust(trust, state, checked);
  showPace(pace, state);
  const key = `${state.model.sha256} ${state.model.reloads} ${state.model.reload_fault}`;
  if (key !== modelKey) loadModel(key);
}

async function loadModel(key) {
  modelKey = key;
  try {
    const response = await fetch(at("api/model"));
    if (!response.ok) throw new Error(String(response.status));
    showModel(await response.json());
  } catch {
    // The next state tries again.
    modelKey = null;
  }
}

function showSource() {
  const { source, last } = state;
  let age = "no prediction yet";
  if (last) age = last.age_s < 2 ? "live" : `last prediction ${Math.round(last.age_s)} s ago`;
  byId("source").textContent = `${printable(source.name)} · ${age}`;
  byId("light").className = source.signal ? "light good" : "light bad";
  showBanner(source.signal ? "" : `No signal: ${source.fault ?? "the source gives no frames"}`);
}

function showBanner(text) {
  const banner = byId("banner");
  if (banner.textContent !== text) banner.textContent = text;
  banner.hidden = text === "";
}

function listen() {
  const events = new EventSource(at("events"));
  events.addEventListener("answer", onPrediction);
  events.addEventListener("state", onState);
  events.addEventListener("error", () => {
    byId("light").className = "light bad";
    showBanner("The connection to the run is lost. Trying again.");
    // A browser tries again by itself, but not after a response such as 503.
    if (events.readyState === EventSource.CLOSED) setTimeout(listen, RETRY_MS);
  });
}

showSettings();
showTheme();
listen();
