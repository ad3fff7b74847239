// Everything on the page besides the charts: the list of runs, cards, tables. Names come from folders
// and files, so they become text nodes only.

import { node, significant, style } from "./charts.js";

export const STATES = {
  searching: "searching", training: "training", stopped: "stopped", silent: "no news", finished: "finished", diverged: "diverged",
};

export const percent = value => value === null || value === undefined ? "–" : `${(100 * value).toFixed(2)} %`;

export function duration(seconds) {
  if (seconds === null || seconds === undefined || !Number.isFinite(seconds)) return "–";
  if (seconds < 60) return `${Math.round(seconds)} s`;
  if (seconds < 3600) return `${Math.floor(seconds / 60)} min ${Math.round(seconds % 60)} s`;
  const minutes = Math.round(seconds / 60);
  if (minutes < 1440) return `${Math.floor(minutes / 60)} h ${minutes % 60} min`;
  return `${Math.floor(minutes / 1440)} d ${Math.floor(minutes % 1440 / 60)} h`;
}

function setText(element, text) {
  if (element.textContent !== text) element.textContent = text;
}

// Puts a child at a position, without moving it if it is there: a moved element loses the focus.
function place(parent, position, child) {
  if (parent.children[position] !== child) parent.insertBefore(child, parent.children[position] ?? null);
}

// One line about a run for the list.
function summary(run) {
  const parts = [STATES[run.state] ?? run.state];
  if (run.steps && run.state !== "finished") parts.push(`${Math.floor(100 * run.step / run.steps)} %`);
  const accuracy = run.test_accuracy ?? run.val_accuracy;
  if (accuracy !== null) parts.push(percent(accuracy));
  return parts.join(" · ");
}

// The list of runs, grouped by study. Items of a closed group are not made.
export class RunList {
  constructor(root, choose, showStudy) {
    this.root = root;
    this.choose = choose;
    this.showStudy = showStudy;
    this.items = new Map();
    this.groups = new Map();
    this.loose = node("div");
    this.root.append(this.loose);
    this.filter = "";
  }

  update(runs, studies, selected) {
    this.last = [runs, studies, selected];
    for (const [id, study] of studies) {
      if (this.groups.has(id)) continue;
      const title = node("span");
      const show = node("button", { type: "button", class: "show-study" }, "Table");
      const box = node("div");
      const group = { title, box, root: node("details", {}, node("summary", {}, title), show, box) };
      show.addEventListener("click", () => this.showStudy(id));
      group.root.addEventListener("toggle", () => this.update(...this.last));
      this.groups.set(id, group);
      this.root.insertBefore(group.root, this.loose);
    }
    for (const [id, group] of this.groups) {
      const study = studies.get(id);
      if (!study) {
        group.root.remove();
        this.groups.delete(id);
        continue;
      }
      setText(group.title, `${study.name} (${study.finished} of ${study.runs} finished${study.training ? `, ${study.training} training` : ""})`);
    }
    const order = [...runs.values()].sort((a, b) => a.name.localeCompare(b.name, undefined, { numeric: true }));
    const places = new Map();
    const wanted = new Set();
    for (const run of order) {
      const group = run.study && this.groups.get(run.study);
      const matches = run.name.toLowerCase().includes(this.filter);
      if (!matches || (group && !group.root.open && !this.filter)) continue;
      wanted.add(run.id);
      const item = this.items.get(run.id) ?? this.make(run);
      const parent = group ? group.box : this.loose;
      place(parent, places.get(parent) ?? 0, item.root);
      places.set(parent, (places.get(parent) ?? 0) + 1);
      item.input.checked = selected.includes(run.id);
      item.root.style.setProperty("--colour", item.input.checked ? style(selected.indexOf(run.id)).colour : "");
      setText(item.text, summary(run));
    }
    if (this.filter) for (const group of this.groups.values()) group.root.open ||= group.box.childElementCount > 0;
    for (const [id, item] of this.items) {
      if (!wanted.has(id)) {
        item.root.remove();
        this.items.delete(id);
      }
    }
  }

  make(run) {
    const input = node("input", { type: "checkbox" });
    const text = node("span", { class: "soft" });
    // The group already shows the name of the study.
    const name = run.study ? run.name.split("/").at(-1) : run.name;
    const root = node("label", { class: "item", title: run.name }, input, node("span", { class: "name" }, name), text);
    input.addEventListener("change", () => this.choose(run.id, input.checked));
    const item = { root, input, text };
    this.items.set(run.id, item);
    return item;
  }
}

// The cards of the runs that are shown.
export class Cards {
  constructor(root, stop) {
    this.root = root;
    this.stop = stop;
    this.cards = new Map();
  }

  update(runs, selected, labels) {
    for (const [id, card] of this.cards) {
      if (!selected.includes(id) || !runs.has(id)) {
        card.root.remove();
        this.cards.delete(id);
      }
    }
    let position = 0;
    selected.forEach((id, index) => {
      const run = runs.get(id);
      if (!run) return;
      const card = this.cards.get(id) ?? this.make(run);
      card.root.style.setProperty("--colour", style(index).colour);
      setText(card.difference, labels[id] ?? "");
      card.difference.hidden = !labels[id];
      setText(card.state, STATES[run.state] ?? run.state);
      card.state.className = `state ${run.state}`;
      card.bar.hidden = !run.steps;
      card.bar.max = run.steps ?? 1;
      card.bar.value = run.step;
      const facts = {
        step: run.steps ? `${run.step} of ${run.steps}` : run.step ? String(run.step) : null,
        epoch: run.epoch === null ? null : `${run.epoch.toFixed(2)} of ${significant(run.epochs)}`,
        phase: run.phase,
        "time left": run.seconds_left === null ? null : duration(run.seconds_left),
        "images/s": run.images_per_second === null ? null : significant(Number(run.images_per_second.toPrecision(3))),
        "test accuracy": run.test_accuracy === null ? null : percent(run.test_accuracy),
        "val. accuracy": run.val_accuracy === null ? null : percent(run.val_accuracy),
        "val. loss": run.val_loss === null ? null : significant(run.val_loss),
        "train. loss": run.train_loss === null ? null : significant(run.train_loss),
        "no news for": run.silent === null ? null : run.silent < 60 ? "a minute" : duration(run.silent),
        "diverged at": run.diverged_at === null ? null : `step ${run.diverged_at}`,
        retries: run.retries ? String(run.retries) : null,
        network: run.model,
        data: run.data,
      };
      const shown = Object.entries(facts).filter(([, value]) => value !== null);
      const key = shown.map(([name]) => name).join();
      if (key !== card.key) {
        card.key = key;
        card.values = new Map();
        card.facts.replaceChildren(...shown.map(([name]) => {
          const value = node("dd");
          card.values.set(name, value);
          return node("div", {}, node("dt", {}, name), value);
        }));
      }
      for (const [name, value] of shown) setText(card.values.get(name), value);
      card.problems.hidden = run.problems.length === 0;
      if (card.problems.textContent !== run.problems.join("")) {
        card.problems.replaceChildren(...run.problems.map(problem => node("li", {}, problem)));
      }
      card.row.hidden = run.state !== "training";
      place(this.root, position++, card.root);
    });
  }

  make(run) {
    const card = {
      state: node("span"), difference: node("p", { class: "difference" }), bar: node("progress", { "aria-label": "progress" }),
      facts: node("dl"), problems: node("ul", { class: "problems" }), key: "",
    };
    const stop = node("button", { type: "button", class: "danger" }, "Stop…");
    stop.addEventListener("click", () => this.stop(run.id));
    card.answer = node("span", { class: "soft", role: "status" });
    card.row = node("div", { class: "row" }, card.answer, stop);
    const title = node("h3", {}, node("span", {}, run.name), card.state);
    card.root = node("article", { class: "run", "aria-label": run.name }, title, card.difference, card.bar, card.facts, card.problems, card.row);
    this.cards.set(run.id, card);
    return card;
  }

  answer(id, text) {
    const card = this.cards.get(id);
    if (card) setText(card.answer, text);
  }
}

// A mean with its interval: "0.51 ± 0.02", and with a unit "51.2 ± 0.3 %".
function interval(value, format) {
  if (value === null) return "–";
  if (value.half_width === null) return format(value.mean);
  const [mean, half] = [format(value.mean), format(value.half_width)];
  return mean.endsWith(" %") ? `${mean.slice(0, -2)} ± ${half}` : `${mean} ± ${half}`;
}

export function table(root, head, rows) {
  const cell = (name, value) => {
    const made = node(name, {}, value.text ?? value);
    if (value.number) made.className = "number";
    return made;
  };
  root.replaceChildren(
    node("thead", {}, node("tr", {}, ...head.map(value => cell("th", value)))),
    node("tbody", {}, ...rows.map(({ cells, best }) => {
      const row = node("tr", {}, cell("th", cells[0]), ...cells.slice(1).map(value => cell("td", value)));
      if (best) row.className = "best";
      return row;
    })),
  );
}

const number = text => ({ text, number: true });
const points = value => (100 * value).toFixed(2);

export function studyTable(root, study) {
  const head = ["variant", number("runs finished"), number("final accuracy"), number("difference (points)"), number("best accuracy"), number("gap"), number("steps"), number("time per run")];
  const means = study.rows.map(row => row.final_accuracy?.mean ?? -1);
  const best = Math.max(...means);
  table(root, head, study.rows.map((row, index) => ({
    best: study.rows.length > 1 && best >= 0 && means[index] === best,
    cells: [
      row.diverged ? `${row.label} (${row.diverged} diverged)` : row.label,
      number(`${row.finished} of ${row.runs}`),
      number(interval(row.final_accuracy, percent)),
      number(interval(row.difference, points)),
      number(interval(row.best_accuracy, percent)),
      number(interval(row.gap, significant)),
      number(row.steps === null ? "–" : String(row.steps)),
      number(duration(row.seconds)),
    ],
  })));
}

export function cyclesTable(root, cycles) {
  const head = ["lr_max", number("seed"), number("updates"), number("held-out loss"), number("accuracy")];
  const order = [...cycles].sort((a, b) => a.lr_max - b.lr_max || a.seed - b.seed);
  const losses = order.map(cycle => cycle.loss ?? Infinity);
  const best = Math.min(...losses);
  table(root, head, order.map((cycle, index) => ({
    best: losses[index] === best && best < Infinity,
    cells: [
      significant(cycle.lr_max), number(String(cycle.seed)), number(String(cycle.steps)),
      number(cycle.diverged === null ? significant(cycle.loss) : `diverged at step ${cycle.diverged}`), number(percent(cycle.accuracy)),
    ],
  })));
}

export function diagnosisTable(root, newest) {
  table(root, ["quantity", "value", "meaning"], (newest ?? []).map(cells => ({ cells })));
}

export function matrixTable(root, assessment) {
  const { classes, matrix } = assessment;
  const head = node("tr", {}, node("th", { class: "soft" }, "true ↓ predicted →"), ...classes.map(name => node("th", {}, node("span", { title: name }, name))));
  const rows = matrix.map((counts, truth) => {
    const total = Math.max(1, counts.reduce((sum, count) => sum + count, 0));
    const cells = counts.map((count, taken) => {
      const cell = node("td", {}, count ? String(count) : "");
      const share = count / total;
      if (count) {
        cell.className = `${truth === taken ? "yes" : "no"}${share > 0.55 ? " strong" : ""}`;
        cell.style.setProperty("--s", String(0.08 + 0.9 * share));
      }
      return cell;
    });
    return node("tr", {}, node("th", { title: classes[truth] }, classes[truth]), ...cells);
  });
  root.replaceChildren(node("thead", {}, head), node("tbody", {}, ...rows));
}

export function pairsList(root, assessment) {
  const { classes, pairs } = assessment;
  root.replaceChildren(...pairs.map(([count, truth, taken]) => node("li", {}, `${count} × ${classes[truth]} taken for ${classes[taken]}`)));
}
