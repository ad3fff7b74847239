// The page: what is shown, the stream of events, and the charts.

import { Chart, onTheme, significant, style } from "./charts.js";
import * as panels from "./panels.js";

const MOST_RUNS = 20;
const byId = id => document.getElementById(id);

// What the user has chosen; kept in the address.
const chosen = { runs: [], study: null, axis: "steps", log: false, from: null, to: null, made: false };
// What the server has told.
const runs = new Map();
const studies = new Map();
const data = new Map();
let labels = {};

const list = new panels.RunList(byId("list"), choose, showStudy);
const cards = new panels.Cards(byId("cards"), askToStop);

function readAddress() {
  const hash = new URLSearchParams(location.hash.slice(1));
  const number = key => hash.has(key) && Number.isFinite(Number(hash.get(key))) ? Number(hash.get(key)) : null;
  chosen.runs = (hash.get("runs") ?? "").split(".").filter(id => /^[0-9a-f]{16}$/.test(id)).slice(0, MOST_RUNS);
  chosen.study = hash.get("study");
  chosen.axis = hash.get("axis") === "epochs" ? "epochs" : "steps";
  chosen.log = hash.has("log");
  [chosen.from, chosen.to] = [number("from"), number("to")];
  chosen.made = chosen.runs.length > 0 || chosen.study !== null;
}

function writeAddress() {
  const hash = new URLSearchParams();
  if (chosen.runs.length) hash.set("runs", chosen.runs.join("."));
  if (chosen.study) hash.set("study", chosen.study);
  if (chosen.axis !== "steps") hash.set("axis", chosen.axis);
  if (chosen.log) hash.set("log", "1");
  if (chosen.from !== null) {
    hash.set("from", chosen.from);
    hash.set("to", chosen.to);
  }
  history.replaceState(null, "", `#${hash}`);
}

// ---- The stream. What is shown is part of its address, so a change connects again.

let source = null;
let retry = null;
let connecting = null;

function address() {
  const width = byId("charts").firstElementChild?.clientWidth || 600;
  const query = [`runs=${chosen.runs.join(".")}`, `axis=${chosen.axis}`, `points=${Math.round(Math.max(150, Math.min(width, 1200)))}`];
  if (chosen.from !== null) query.push(`from=${chosen.from}`, `to=${chosen.to}`);
  return `/events?${query.join("&")}`;
}

function connect() {
  clearTimeout(connecting);
  connecting = setTimeout(() => {
    clearTimeout(retry);
    source?.close();
    if (document.hidden) return;
    source = new EventSource(address());
    const opened = source;
    opened.onopen = () => tell("live", false);
    opened.onerror = () => {
      tell("connection lost; trying again", true);
      opened.close();
      clearTimeout(retry);
      retry = setTimeout(again, 1000);
    };
    for (const [event, receive] of Object.entries(receivers)) {
      opened.addEventListener(event, message => {
        if (opened === source) receive(JSON.parse(message.data));
      });
    }
  }, 30);
}

// A server that was started again with another token refuses this page.
async function again() {
  const answer = await fetch("/state", { method: "HEAD" }).catch(() => null);
  if (answer?.status === 403) tell("refused: open the address that onecycle watch printed", true);
  else connect();
}

function tell(text, lost) {
  const line = byId("connection");
  line.textContent = text;
  line.classList.toggle("lost", lost);
}

const receivers = {
  list(message) {
    if (message.first) {
      const known = new Set(message.runs.map(run => run.id));
      for (const id of runs.keys()) if (!known.has(id)) runs.delete(id);
      studies.clear();
    }
    for (const id of message.removed) {
      runs.delete(id);
      studies.delete(id);
      data.delete(id);
    }
    for (const run of message.runs) runs.set(run.id, run);
    for (const study of message.studies) studies.set(study.id, study);
    byId("list-note").hidden = !message.incomplete;
    byId("list-note").textContent = "There are too many folders: not all were searched. Name a smaller one.";
    byId("empty").hidden = runs.size > 0;
    if (!chosen.made && runs.size > 0) chooseFirst();
    showList();
  },
  labels(message) {
    labels = message;
    showList();
    drawAll();
  },
  steps: message => receive(message.id, "steps", message.points),
  epochs: message => receive(message.id, "epochs", message.epochs),
  plan: message => receive(message.id, "plan", message),
  search: message => receive(message.id, "search", message.is),
  diagnoses: message => receive(message.id, "diagnoses", message.is),
  assessment: message => receive(message.id, "assessment", message.is),
};

function receive(id, kind, value) {
  if (!data.has(id)) data.set(id, {});
  data.get(id)[kind] = value;
  if (kind === "search") showSearch();
  else if (kind === "diagnoses") showDiagnoses();
  else if (kind === "assessment") showAssessment();
  else drawAll();
}

// ---- Choices.

// At first, what trains; otherwise the newest run.
function chooseFirst() {
  const all = [...runs.values()].sort((a, b) => (b.changed ?? 0) - (a.changed ?? 0));
  const active = all.filter(run => run.state === "training" || run.state === "searching");
  chosen.runs = (active.length ? active.slice(0, 4) : all.slice(0, 1)).map(run => run.id);
  const study = runs.get(chosen.runs[0])?.study;
  if (study) chosen.study = study;
  chosen.made = true;
  changed();
}

function choose(id, on) {
  chosen.runs = chosen.runs.filter(other => other !== id);
  if (on) chosen.runs.push(id);
  if (chosen.runs.length > MOST_RUNS) chosen.runs.shift();
  chosen.made = true;
  changed();
}

function showStudy(id) {
  chosen.study = chosen.study === id ? null : id;
  writeAddress();
  showList();
  if (chosen.study) byId("study").scrollIntoView({ block: "nearest" });
}

function zoom(from, to) {
  [chosen.from, chosen.to] = from === null ? [null, null] : [from, to];
  changed();
}

function changed() {
  for (const id of data.keys()) if (!chosen.runs.includes(id)) data.delete(id);
  writeAddress();
  byId("reset").hidden = chosen.from === null;
  showList();
  drawAll();
  showSearch();
  showDiagnoses();
  showAssessment();
  connect();
}

function showList() {
  byId("count").textContent = runs.size ? `(${runs.size})` : "";
  list.update(runs, studies, chosen.runs);
  cards.update(runs, chosen.runs, labels);
  const study = studies.get(chosen.study);
  byId("study").hidden = !study;
  if (study && study !== shownStudy) {
    shownStudy = study;
    byId("study-title").textContent = study.name;
    byId("study-count").textContent = `${study.finished} of ${study.runs} runs that have begun are finished${study.training ? `, ${study.training} training` : ""}.`;
    panels.studyTable(byId("study-table"), study);
  }
  const first = runs.get(chosen.runs[0]);
  const title = first && first.steps && first.state === "training" ? `${Math.floor(100 * first.step / first.steps)} % · onecycle watch` : "onecycle watch";
  if (document.title !== title) document.title = title;
}
let shownStudy = null;

// ---- Stopping a run.

let stopping = null;

function askToStop(id) {
  stopping = id;
  byId("stop-text").textContent = `${runs.get(id)?.name ?? ""} writes a checkpoint after its current step and ends. "onecycle resume" continues it to the same result. In a study, the process that trains it ends.`;
  byId("stop-dialog").showModal();
}

byId("stop-no").addEventListener("click", () => byId("stop-dialog").close());
byId("stop-yes").addEventListener("click", async () => {
  byId("stop-dialog").close();
  cards.answer(stopping, "asked to stop");
  const body = JSON.stringify({ run: stopping });
  const answer = await fetch("/stop", { method: "POST", headers: { "Content-Type": "application/json" }, body }).catch(() => null);
  if (answer?.status !== 202) cards.answer(stopping, answer ? await answer.text() : "the server does not answer");
});

// ---- Charts.

const stepCharts = {};
const make = (name, options) => {
  stepCharts[name] = new Chart(byId("charts"), { sync: "steps", zoom, range: extent, ...options });
};
make("loss", { title: "Loss" });
make("accuracy", { title: "Accuracy", percent: true });
make("lr", { title: "Learning rate", range: planExtent, marks, present });
make("momentum", { title: "Momentum", range: planExtent, marks, present });
make("gap", { title: "Generalisation gap (validation − training loss)" });
make("speed", { title: "Images per second" });

const across = points => points ? (chosen.axis === "epochs" ? points.epoch : points.step) : [];
const epochsAcross = epochs => (epochs ?? []).map(epoch => chosen.axis === "epochs" ? epoch.epoch + 1 : epoch.steps);

// The visible range: the zoom, or everything so far.
function extent() {
  if (chosen.from !== null) return [chosen.from, chosen.to];
  const ends = chosen.runs.map(id => across(data.get(id)?.steps).at(-1) ?? epochsAcross(data.get(id)?.epochs).at(-1) ?? 0);
  return [0, Math.max(...ends, chosen.axis === "epochs" ? 0.01 : 1)];
}

// With the rest of the plan.
function planExtent() {
  if (chosen.from !== null) return [chosen.from, chosen.to];
  const ends = chosen.runs.map(id => across(data.get(id)?.plan?.points).at(-1) ?? 0);
  return [0, Math.max(...ends, extent()[1])];
}

// Phases of the first run with a plan.
function marks() {
  const id = chosen.runs.find(id => data.get(id)?.plan);
  if (!id) return [];
  const { phases } = data.get(id).plan;
  const now = runs.get(id);
  const current = now && !["finished", "diverged"].includes(now.state)
    ? phases.findLastIndex(phase => phase.first_step <= now.step) : -1;
  return phases.map((phase, index) => ({
    x: chosen.axis === "epochs" ? phase.epoch : phase.first_step, label: phase.name, current: index === current,
  }));
}

function present() {
  const id = chosen.runs.find(id => data.get(id)?.plan);
  const run = runs.get(id);
  if (!run || run.state === "finished") return null;
  return chosen.axis === "epochs" ? run.epoch : run.step;
}

// Only what can be drawn on the axis.
function series(base, x, y) {
  const [xs, ys] = [[], []];
  x.forEach((value, index) => {
    if (value === null || value === undefined) return;
    const drawn = y[index];
    xs.push(value);
    ys.push(base.log && !(drawn > 0) ? null : drawn);
  });
  return ys.some(value => value !== null && value !== undefined) ? [{ ...base, x: xs, y: ys }] : [];
}

let scheduled = false;
function drawAll() {
  if (scheduled) return;
  scheduled = true;
  requestAnimationFrame(() => {
    scheduled = false;
    const several = chosen.runs.length > 1;
    const all = { loss: [], accuracy: [], lr: [], momentum: [], gap: [], speed: [] };
    chosen.runs.forEach((id, index) => {
      const told = data.get(id);
      if (!told) return;
      const { steps, epochs, plan } = told;
      const own = style(index);
      const other = several ? { ...own, dash: [2, 3] } : style(1);
      const name = labels[id] || runs.get(id)?.name || "";
      const named = what => several ? (what ? `${name}, ${what}` : name) : what;
      const at = across(steps);
      const log = chosen.log;
      if (steps) {
        if (chosen.runs.length <= 3) all.loss.push(...series({ ...own, log, faint: true, name: "" }, at, steps.loss));
        all.loss.push(...series({ ...own, log, name: named("training, mean") }, at, steps.mean));
        all.lr.push(...series({ ...own, name: named(several ? "" : "learning rate") }, at, steps.lr));
        all.momentum.push(...series({ ...own, name: named(several ? "" : "momentum") }, at, steps.momentum));
      }
      if (plan) {
        const rest = plan.points.step.map(step => step >= (steps?.step.at(-1) ?? 0));
        const part = values => values.filter((_, index) => rest[index]);
        const planned = { ...own, dash: [2, 3], name: named("plan") };
        all.lr.push(...series(planned, part(across(plan.points)), part(plan.points.lr)));
        all.momentum.push(...series(planned, part(across(plan.points)), part(plan.points.momentum)));
      }
      if (epochs?.length) {
        const ends = epochsAcross(epochs);
        const of = key => epochs.map(epoch => typeof epoch[key] === "number" ? epoch[key] : null);
        all.loss.push(...series({ ...other, log, points: true, name: named("validation") }, ends, of("val_loss")));
        all.accuracy.push(...series({ ...own, points: true, name: named("training") }, ends, of("train_accuracy")));
        all.accuracy.push(...series({ ...other, points: true, name: named("validation") }, ends, of("val_accuracy")));
        all.gap.push(...series({ ...own, points: true, name: named(several ? "" : "gap") }, ends, of("generalisation_gap")));
        all.speed.push(...series({ ...own, points: true, name: named(several ? "" : "images per second") }, ends, of("images_per_second")));
      }
    });
    stepCharts.loss.options.log = chosen.log;
    for (const [name, chart] of Object.entries(stepCharts)) chart.set(all[name]);
    byId("tools").hidden = Object.values(all).every(one => one.length === 0);
  });
}

// The first shown run that has something.
function firstWith(kind) {
  const id = chosen.runs.find(id => data.get(id)?.[kind]);
  return id ? { id, value: data.get(id)[kind] } : null;
}

const nameIfSeveral = id => chosen.runs.length > 1 ? `${runs.get(id)?.name ?? ""}: ` : "";

let searchChart = null;
function showSearch() {
  const found = firstWith("search");
  byId("search").hidden = !found;
  if (!found) return;
  const { id, value } = found;
  const tests = value.tests ?? [];
  const cycles = value.cycles ?? [];
  byId("search-note").textContent = nameIfSeveral(id) + (value.problem ?? [
    `${tests.length} range ${tests.length === 1 ? "test" : "tests"} and ${cycles.length} short ${cycles.length === 1 ? "cycle" : "cycles"} ${value.finished ? "made" : "finished so far"}`,
    value.lr === null || value.lr === undefined ? "" : `; largest rate for one cycle: ${significant(value.lr)}`,
  ].join(""));
  byId("cycles-box").hidden = cycles.length === 0;
  panels.cyclesTable(byId("cycles"), cycles);
  searchChart ??= new Chart(byId("search-chart"), { title: "Loss over the learning rate of the range tests", logX: true, log: false });
  const linear = tests.some(test => test.rate.some(rate => !(rate > 0)));
  searchChart.options.logX = !linear;
  searchChart.set(tests.flatMap((test, index) => {
    const own = style(index);
    const name = test.suggested === null ? `${test.label} (${test.verdict})` : `${test.label}: at most ${significant(test.suggested)}`;
    // Losses after the divergence would flatten everything else.
    const limit = 1.5 * Math.max(...test.smooth.slice(0, 5).filter(Number.isFinite));
    const shown = loss => loss.map(value => typeof value === "number" && value <= limit ? value : null);
    return [...series({ ...own, faint: true, name: "" }, test.rate, shown(test.loss)), ...series({ ...own, name }, test.rate, shown(test.smooth))];
  }));
}

const diagnosisCharts = {};
function showDiagnoses() {
  const found = firstWith("diagnoses");
  byId("diagnoses").hidden = !found;
  if (!found) return;
  const { value } = found;
  byId("diagnoses-title").textContent = `Diagnoses${chosen.runs.length > 1 ? ` of ${runs.get(found.id)?.name ?? ""}` : ""}`;
  if (value.problem) {
    panels.table(byId("diagnosis"), ["problem"], [{ cells: [value.problem] }]);
    return;
  }
  panels.diagnosisTable(byId("diagnosis"), value.newest);
  for (const [key, title] of [["noise", "Gradient noise scale (images)"], ["curvature", "Largest eigenvalue of the Hessian"], ["sharpness", "ε-sharpness (%)"]]) {
    diagnosisCharts[key] ??= new Chart(byId("diagnosis-charts"), { title, height: 180 });
    diagnosisCharts[key].set(series({ ...style(0), points: true, name: title }, value[chosen.axis === "epochs" ? "epoch" : "step"], value[key]));
  }
}

function showAssessment() {
  const found = firstWith("assessment");
  byId("assessment").hidden = !found;
  if (!found) return;
  const { id, value } = found;
  byId("assessment-note").textContent = nameIfSeveral(id) + (value.problem ?? `${value.images} ${value.measured_on}, accuracy ${panels.percent(value.accuracy)}. The largest errors are listed below.`);
  byId("matrix-box").hidden = !value.matrix;
  if (value.matrix) panels.matrixTable(byId("matrix"), value);
  if (value.pairs) panels.pairsList(byId("pairs"), value);
}

// ---- Controls.

for (const input of document.querySelectorAll("input[name=axis]")) {
  input.addEventListener("change", () => {
    chosen.axis = input.value;
    [chosen.from, chosen.to] = [null, null];
    changed();
  });
}
byId("log").addEventListener("change", () => {
  chosen.log = byId("log").checked;
  writeAddress();
  drawAll();
});
byId("reset").addEventListener("click", () => zoom(null, null));
byId("filter").addEventListener("input", () => {
  list.filter = byId("filter").value.trim().toLowerCase();
  showList();
});
document.addEventListener("visibilitychange", () => {
  if (document.hidden) source?.close();
  else connect();
});
onTheme(() => {
  changed();
});
if (matchMedia("(max-width: 60rem)").matches) byId("list-box").open = false;

readAddress();
for (const input of document.querySelectorAll("input[name=axis]")) input.checked = input.value === chosen.axis;
byId("log").checked = chosen.log;
byId("reset").hidden = chosen.from === null;
connect();
