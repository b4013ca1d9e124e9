// The page: events in, panels and picture out, and what the controls do.

import { Meters, byId, percent, showAnswer, showModel, showPace, showTrust } from "./panels.js";
import { Picture } from "./picture.js";

const RETRY_MS = 3000;
/// A screen reader is not told more often than this.
const SPOKEN_MS = 3000;

const trust = new Meters(byId("trust"));
const pace = new Meters(byId("pace"));
let state = null;
let answer = null;
let modelKey = null;
let paused = false;
let spoken = { text: "", at: 0 };

const picture = new Picture(byId("picture"), settings, pictureDrawn);

// Controls

function settings() {
  return {
    opacity: Number(byId("opacity").value) / 100,
    scale: byId("colours").value,
    threshold: Number(byId("threshold").value) / 100,
    contour: byId("contour").checked,
  };
}

/// What the browser keeps; one that keeps nothing is no reason to stop.
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

for (const id of ["opacity", "colours", "threshold", "contour"]) {
  const control = byId(id);
  const property = control.type === "checkbox" ? "checked" : "value";
  const kept = recall(id);
  if (kept !== null) control[property] = property === "checked" ? kept === "true" : kept;
  // A scale that this version does not have leaves the list without a choice.
  if (control.value === "") control.selectedIndex = 0;
  control.addEventListener("input", () => {
    remember(id, control[property]);
    showSettings();
    picture.draw();
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
  say(paused ? "The picture stands still; the run goes on." : "");
});

byId("snapshot").addEventListener("click", async () => {
  const blob = await picture.snapshot(`${describe(answer)} · ${new Date().toISOString()}`);
  if (!blob) {
    say("There is no picture yet.");
    return;
  }
  const link = document.createElement("a");
  link.href = URL.createObjectURL(blob);
  link.download = `comet-edge-${answer.record.frame}.jpg`;
  link.click();
  setTimeout(() => URL.revokeObjectURL(link.href), RETRY_MS);
  say(`Saved ${link.download}.`);
});

byId("evidence").addEventListener("click", async () => {
  try {
    const response = await fetch("/api/evidence", { method: "POST", headers: { "X-Comet-Edge": "1" } });
    say(response.ok ? "Asked for: the next answer is kept as a bundle." : await response.text());
  } catch {
    say("The run cannot be reached.");
  }
});

function say(text) {
  byId("said").textContent = text;
}

// Events

function describe(answer) {
  if (!answer) return "no answer";
  const { record } = answer;
  const name = record.class === null ? "no class" : `${record.class} ${percent(record.probability)}`;
  return `${name} · map ${percent(record.mask.mean)} · frame ${record.frame} · ${record.source}`;
}

function pictureDrawn(drawn, frame) {
  answer = drawn;
  const { record } = drawn;
  const apart = frame - record.frame;
  const note = apart === 0 ? "" : ` The line is slow: the picture is ${Math.abs(apart)} frames newer than the map.`;
  byId("caption").textContent = `${describe(drawn)}.${note}`;
  const flags = record.flags.length > 0 ? `, flagged: ${record.flags.join(", ").replaceAll("_", " ")}` : "";
  const text = record.class === null ? `No class${flags}` : `${record.class}, ${percent(record.probability)}${flags}`;
  const label = `Camera picture: ${text}; the map shows ${percent(record.mask.mean)} of it`;
  byId("picture").setAttribute("aria-label", label);
  // The class is spoken when it changes, not its probability with every frame.
  const words = `${record.class ?? "no class"}${flags}`;
  if (words !== spoken.text && performance.now() - spoken.at >= SPOKEN_MS) {
    spoken = { text: words, at: performance.now() };
    byId("spoken").textContent = text;
  }
}

function onAnswer(event) {
  // A page that nobody sees, or that stands still, costs the board no pictures.
  if (paused || document.hidden) return;
  const news = JSON.parse(event.data);
  showAnswer(news, state?.model.classes ?? []);
  if (state) state.checked = news.checked;
  picture.show(news);
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
    const response = await fetch("/api/model");
    if (!response.ok) throw new Error(String(response.status));
    showModel(await response.json());
  } catch {
    // The next state tries again.
    modelKey = null;
  }
}

function showSource() {
  const { source, last } = state;
  let age = "no answer yet";
  if (last) age = last.age_s < 2 ? "live" : `last answer ${Math.round(last.age_s)} s ago`;
  byId("source").textContent = `${source.name} · ${age}`;
  byId("light").className = source.signal ? "light good" : "light bad";
  showBanner(source.signal ? "" : `No signal: ${source.fault ?? "the source gives no frames"}`);
}

function showBanner(text) {
  const banner = byId("banner");
  if (banner.textContent !== text) banner.textContent = text;
  banner.hidden = text === "";
}

function listen() {
  const events = new EventSource("/events");
  events.addEventListener("answer", onAnswer);
  events.addEventListener("state", onState);
  events.addEventListener("error", () => {
    byId("light").className = "light bad";
    showBanner("The connection to the run is lost. Trying again.");
    // A browser tries again by itself, but not after an answer such as 503.
    if (events.readyState === EventSource.CLOSED) setTimeout(listen, RETRY_MS);
  });
}

showSettings();
showTheme();
listen();
