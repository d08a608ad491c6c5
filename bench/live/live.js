"use strict";
const STATES = ["done", "running", "queued", "stale", "failed", "new"];
const LATE_S = 60; // a lease is renewed every 5 s, a log of a job at each hundredth of its steps
const LOG_RATIO = 10; // of the largest to the smallest loss, above which the axis is logarithmic
const byId = (name) => document.getElementById(name);
let last = 0, compared = 0, open = new Set();

function element(name, text, kind) {
  const made = document.createElement(name);
  if (text !== undefined && text !== null) made.textContent = text;
  if (kind) made.className = kind;
  return made;
}

function ago(seconds) {
  if (seconds === null || seconds === undefined) return "not known";
  if (seconds < 90) return `${Math.round(seconds)} s ago`;
  return seconds < 5400 ? `${Math.round(seconds / 60)} min ago` : `${(seconds / 3600).toFixed(1)} h ago`;
}

function duration(seconds) {
  if (seconds < 90) return `${Math.round(seconds)} s`;
  return seconds < 5400 ? `${Math.round(seconds / 60)} min` : `${(seconds / 3600).toFixed(1)} h`;
}

function first(shown, count) { return shown.length < count ? `, the first ${shown.length}` : ""; }

function show(part, shown) { byId(part).hidden = !shown; }

function labels(counts) {
  return STATES.filter((name) => counts[name]).map((name) => element("span", `${counts[name]} ${name}`, `state ${name}`));
}

function drawing(name, values) {
  const made = document.createElementNS("http://www.w3.org/2000/svg", name);
  for (const [key, value] of Object.entries(values)) made.setAttribute(key, value);
  return made;
}

// The mean loss of each epoch as a thick line, losses of single steps seen by this page as a thin one.
function plot(one) {
  const width = 300, height = 110, left = 52, right = 8, top = 8, bottom = 18;
  const points = [...one.means, ...one.seen];
  const svg = drawing("svg", { viewBox: `0 0 ${width} ${height}`, role: "img" });
  if (points.length === 0) return null;
  const losses = points.map((point) => point[1]);
  const low = Math.min(...losses), high = Math.max(...losses), steps = Math.max(one.steps || 0, ...points.map((point) => point[0]), 1);
  const isLog = low > 0 && high > LOG_RATIO * low, value = (loss) => isLog ? Math.log(loss) : loss;
  const range = value(high) - value(low) || Math.abs(high) || 1;
  const x = (step) => left + (width - left - right) * step / steps;
  const y = (loss) => top + (height - top - bottom) * (value(high) - value(loss)) / range;
  svg.setAttribute("aria-label", `loss ${losses[losses.length - 1].toPrecision(4)} at step ${points[points.length - 1][0]}`);
  svg.append(drawing("line", { class: "axis", x1: left, y1: top, x2: left, y2: height - bottom }));
  svg.append(drawing("line", { class: "axis", x1: left, y1: height - bottom, x2: width - right, y2: height - bottom }));
  for (const [kind, list] of [["seen", one.seen], ["means", one.means]]) {
    if (list.length > 1) svg.append(drawing("polyline", { class: kind, points: list.map((p) => `${x(p[0]).toFixed(1)},${y(p[1]).toFixed(1)}`).join(" ") }));
  }
  const end = one.seen.length ? one.seen[one.seen.length - 1] : one.means[one.means.length - 1];
  svg.append(drawing("circle", { cx: x(end[0]), cy: y(end[1]), r: 2.5 }));
  const words = [[high.toPrecision(3), left - 4, top + 8, "end"], [`${Math.round(steps)}`, width - right, height - 5, "end"], [isLog ? "step (log loss)" : "step", (left + width) / 2, height - 5, "middle"], ["0", left, height - 5, "middle"]];
  if (high > low) words.push([low.toPrecision(3), left - 4, height - bottom, "end"]);
  for (const [text, at, down, anchor] of words) {
    const label = drawing("text", { x: at, y: down, "text-anchor": anchor });
    label.textContent = text;
    svg.append(label);
  }
  return svg;
}

function card(one) {
  const made = element("article", null, "card");
  made.append(element("h3", one.name));
  if (one.error) made.append(element("p", one.error, "bad"));
  if (one.steps) {
    const bar = element("progress");
    bar.max = one.steps;
    bar.value = one.step;
    bar.setAttribute("aria-label", `step ${one.step} of ${one.steps}`);
    made.append(bar);
    const speed = one.images_per_s ? `, ${Math.round(one.images_per_s)} images/s, ${duration(one.left_s)} left` : "";
    made.append(element("p", `step ${one.step} of ${one.steps}${speed}`));
    if (one.images_per_s) made.append(element("p", `loss ${one.loss.toPrecision(5)}`));
  }
  if (one.collapsed) made.append(element("p", `features collapsed at step ${one.collapsed}`, "bad"));
  const where = [one.job ? `job ${one.job}` : "", one.host ? `on ${one.host}` : ""].filter(Boolean).join(" ");
  const starts = !one.steps && !one.error; // a restarted job has the heartbeat of its last process until then
  const beat = element("p", `${where ? `${where}, ` : ""}${starts ? "no step yet, last " : ""}heartbeat ${ago(one.heartbeat_s)}`);
  if (one.heartbeat_s > LATE_S && !starts) beat.className = "late";
  made.append(beat);
  const curve = plot(Object.assign({ means: [], seen: [] }, one));
  if (curve) made.append(curve);
  return made;
}

function cells(row, ...values) {
  for (const value of values) {
    const cell = element("td");
    if (value instanceof Node) cell.append(value);
    else if (Array.isArray(value)) value.forEach((node) => cell.append(node, " "));
    else cell.textContent = value ?? "";
    row.append(cell);
  }
  return row;
}

function failure(one) {
  const made = element("details");
  const head = element("summary", `${one.name}${one.class ? ` (${one.class})` : ""}`);
  made.append(head, element("p", one.reason, "note"));
  if (one.job) made.append(element("p", `job ${one.job}`, "note"));
  if (one.tail.length) made.append(element("pre", one.tail.join("\n")));
  made.open = open.has(one.name);
  made.addEventListener("toggle", () => { made.open ? open.add(one.name) : open.delete(one.name); });
  return made;
}

function update(state) {
  last = Date.now();
  compared = last - 1000 * (state.compared_s || 0);
  byId("problem").textContent = state.problem;
  show("problem", Boolean(state.problem));
  byId("warnings").replaceChildren(...state.warnings.map((text) => element("li", text)));
  show("warnings", state.warnings.length > 0);
  if (!state.grid) return;
  document.title = `${state.counts.done || 0}/${state.total} ${state.grid}`;
  byId("title").textContent = state.grid;
  byId("where").textContent = `${state.store}; something was last started or stored ${ago(state.changed_s)}`;
  byId("bar").replaceChildren(...STATES.filter((name) => state.counts[name]).map((name) => {
    const part = element("span", null, name);
    part.style.flexGrow = state.counts[name];
    part.title = `${state.counts[name]} ${name}`;
    return part;
  }));
  byId("bar").setAttribute("aria-label", `${state.counts.done || 0} of ${state.total} runs done`);
  byId("counts").replaceChildren(element("strong", `${state.total} runs: `), ...labels(state.counts), element("strong", `${state.rows.length} pretrainings: `), ...labels(state.pretrain_counts));
  byId("running").replaceChildren(...state.running.map(card));
  show("running-part", state.running.length > 0);
  byId("jobs").replaceChildren(...state.jobs.map((one) => cells(element("tr"), one.job, one.work, one.node, one.elapsed, element("span", ago(one.heartbeat_s)))));
  byId("jobs-title").textContent = `Jobs (${state.job_count} running, ${state.waiting} waiting)${first(state.jobs, state.job_count)}`;
  show("jobs-table", state.jobs.length > 0);
  show("jobs-part", state.job_count + state.waiting > 0);
  byId("failures-title").textContent = `Failures (${state.failure_count})${first(state.failures, state.failure_count)}`;
  byId("failures").replaceChildren(...state.failures.map(failure));
  show("failures-part", state.failure_count > 0);
  byId("not-applicable").replaceChildren(...state.not_applicable.map((text) => element("li", `n/a: ${text}`)));
  show("not-applicable", state.not_applicable.length > 0);
  byId("rows").replaceChildren(...state.rows.map((one) => {
    const row = cells(element("tr"), one.name, element("span", one.state, `state ${one.state}`), labels(one.runs), one.reason);
    row.children[2].className = "runs";
    return row;
  }));
}

function clock(connected) {
  const now = Date.now(), age = last ? `losses of ${ago((now - last) / 1000)}, states of ${ago((now - compared) / 1000)}` : "waiting for the first state";
  byId("clock").textContent = connected ? age : `${age}; the server does not answer, trying again`;
  byId("clock").classList.toggle("bad", !connected);
}

const source = new EventSource("/events");
let connected = true;
source.addEventListener("message", (event) => { connected = true; update(JSON.parse(event.data)); clock(true); });
source.addEventListener("open", () => { connected = true; clock(true); });
source.addEventListener("error", () => { connected = false; clock(false); });
setInterval(() => clock(connected), 1000);
