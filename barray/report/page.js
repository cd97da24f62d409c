"use strict";
// The report's script: SVG charts with panes, a crosshair and zoom; tables that sort and filter. No dependencies.
(() => {
const root = document.documentElement;
const failed = (what) => { root.dataset.errors = (root.dataset.errors ? root.dataset.errors + " | " : "") + what; };
addEventListener("error", (event) => failed(event.message));
addEventListener("unhandledrejection", (event) => failed(String(event.reason)));
document.addEventListener("securitypolicyviolation", (event) => failed("refused " + event.blockedURI));

const data = JSON.parse(document.getElementById("data").textContent);
const SVG = "http://www.w3.org/2000/svg";
const MONTHS = ["Jan", "Feb", "Mar", "Apr", "May", "Jun", "Jul", "Aug", "Sep", "Oct", "Nov", "Dec"];
const DAYS = ["Sun", "Mon", "Tue", "Wed", "Thu", "Fri", "Sat"];
const two = (n) => String(n).padStart(2, "0");
const make = (name, attributes, parent, text) => {
  const node = document.createElementNS(SVG, name);
  for (const [key, value] of Object.entries(attributes || {})) node.setAttribute(key, value);
  if (text !== undefined) node.textContent = text;
  if (parent) parent.append(node);
  return node;
};
const span = (name, text, parent) => {
  const node = document.createElement("span");
  node.className = name;
  node.textContent = text;
  parent.append(node);
  return node;
};

// ---- numbers and time -------------------------------------------------------------------------------------------
const format = (value, digits, sign) => {
  if (value === null || value === undefined) return "–";
  const shown = Math.abs(value).toLocaleString("en-US", { minimumFractionDigits: digits, maximumFractionDigits: digits });
  return (value < 0 ? "−" : sign && value > 0 ? "+" : "") + shown;
};
const niceTicks = (low, high, most) => {
  const raw = (high - low) / Math.max(1, most);
  const power = 10 ** Math.floor(Math.log10(raw));
  const step = [1, 2, 2.5, 5, 10].find((factor) => factor * power >= raw * 0.999) * power;
  const decimals = (size) => { for (let d = 0; d < 9; d++) if (Math.abs(size * 10 ** d - Math.round(size * 10 ** d)) < 1e-6) return d; return 9; };
  const ticks = [];
  for (let k = Math.ceil(low / step - 1e-9); k * step <= high + step * 1e-9; k++) ticks.push(k * step);
  return { ticks, digits: decimals(step) };
};
const clock = (t) => new Date(t * 1000);
const stamp = (t, timed) => {
  const d = clock(t);
  const day = `${DAYS[d.getUTCDay()]} ${d.getUTCDate()} ${MONTHS[d.getUTCMonth()]} ${d.getUTCFullYear()}`;
  return timed ? `${day}, ${two(d.getUTCHours())}:${two(d.getUTCMinutes())}` : day;
};
const DAY = 86400;
const LEVELS = [ // from coarse to fine: what changes at a tick, and how it is written
  [(t) => clock(t).getUTCFullYear(), (t) => String(clock(t).getUTCFullYear())],
  [(t) => clock(t).getUTCFullYear() * 12 + clock(t).getUTCMonth(), (t) => MONTHS[clock(t).getUTCMonth()]],
  [(t) => Math.floor((t / DAY + 3) / 7), (t) => `${clock(t).getUTCDate()} ${MONTHS[clock(t).getUTCMonth()]}`],
  [(t) => Math.floor(t / DAY), (t) => `${clock(t).getUTCDate()} ${MONTHS[clock(t).getUTCMonth()]}`],
  ...[7200, 3600, 1800, 900, 300, 60, 1].map((s) => [
    (t) => Math.floor(t / s),
    (t) => { const d = clock(Math.floor(t / s) * s); return `${two(d.getUTCHours())}:${two(d.getUTCMinutes())}${s < 60 ? ":" + two(d.getUTCSeconds()) : ""}`; },
  ]),
];
// Ticks at the finest level that fits, written as the coarsest thing that changes there.
const timeTicks = (t, first, last, place, room) => {
  const most = Math.max(2, Math.floor(room / 76));
  let chosen = [];
  for (let level = 0; level < LEVELS.length; level++) {
    const found = [];
    for (let i = Math.max(1, first); i <= last; i++) {
      if (LEVELS[level][0](t[i]) === LEVELS[level][0](t[i - 1])) continue;
      let coarsest = level;
      while (coarsest > 0 && LEVELS[coarsest - 1][0](t[i]) !== LEVELS[coarsest - 1][0](t[i - 1])) coarsest--;
      found.push({ i, level: coarsest });
    }
    if (found.length > most * 1.5) {
      if (chosen.length < 3) chosen = found; // thinned below, as far apart as they have to be
      break;
    }
    chosen = found;
  }
  const kept = [];
  for (const tick of chosen.sort((a, b) => a.level - b.level || a.i - b.i)) {
    const x = place(tick.i);
    if (x > 14 && x < room - 14 && kept.every((other) => Math.abs(other.x - x) >= 58)) kept.push({ ...tick, x });
  }
  return kept.map((tick) => ({ x: tick.x, major: tick.level < 4, text: LEVELS[tick.level][1](t[tick.i]) }));
};

// ---- one chart: panes one above the other on a common time axis -------------------------------------------------
// spec: {t, x?, panes: [{height, series, label?, unit?, floor?}], read(i) -> [[name, text, class]]}
// series: {kind: line | area | bars | candles | trades, y or OHLC, x?, color}
class TimeChart {
  constructor(host, spec) {
    this.spec = spec;
    this.x = spec.x || spec.t.map((_, i) => i);
    this.timed = spec.t.some((t) => t % DAY !== spec.t[0] % DAY) || spec.t.length < 2;
    this.end = this.x[this.x.length - 1];
    this.range = this.full = [this.x[0] - (spec.pad || 0), Math.max(this.end, this.x[0] + 1) + (spec.pad || 0)];
    const bar = document.createElement("div");
    bar.className = "readout";
    this.readout = span("values", "", bar);
    const buttons = span("buttons", "", bar);
    this.buttons = [["ArrowLeft", "‹", "Earlier"], ["ArrowRight", "›", "Later"], ["+", "+", "Zoom in"], ["-", "−", "Zoom out"], ["Escape", "All", "Show all"]].map(([key, sign, name]) => {
      const button = document.createElement("button");
      Object.assign(button, { type: "button", textContent: sign, title: name, onclick: () => this.move(key) });
      button.setAttribute("aria-label", name);
      if (key !== "+") button.disabled = true;
      buttons.append(button);
      return button;
    });
    this.svg = make("svg", { role: "img", tabindex: "0", "aria-label": spec.title });
    host.replaceChildren(bar, this.svg);
    this.svg.addEventListener("pointermove", (event) => this.point(event));
    this.svg.addEventListener("pointerleave", () => this.leave());
    this.svg.addEventListener("pointerdown", (event) => this.press(event));
    this.svg.addEventListener("pointerup", (event) => this.release(event));
    this.svg.addEventListener("pointercancel", () => { this.from = null; this.leave(); });
    this.svg.addEventListener("dblclick", () => this.zoom(this.full));
    this.svg.addEventListener("keydown", (event) => this.key(event));
    this.observer = new ResizeObserver(() => { if (host.clientWidth !== this.width) this.draw(); });
    this.observer.observe(host);
    this.host = host;
    this.draw();
  }
  close() { this.observer.disconnect(); }
  zoom(range) {
    const [low, high] = this.full;
    const width = Math.min(high - low, Math.max(range[1] - range[0], (high - low) / Math.max(1, this.x.length / 8)));
    const start = Math.min(Math.max(range[0], low), high - width);
    this.range = [start, start + width];
    const whole = width > (high - low) * 0.999;
    this.buttons.forEach((button, k) => { button.disabled = k !== 2 && whole; });
    this.draw();
  }
  place(x) { return ((x - this.range[0]) / (this.range[1] - this.range[0])) * this.room; }
  row(x) { // the point nearest to x
    let low = 0, high = this.x.length - 1;
    while (low < high) { const middle = (low + high) >> 1; if (this.x[middle] < x) low = middle + 1; else high = middle; }
    return low > 0 && x - this.x[low - 1] < this.x[low] - x ? low - 1 : low;
  }
  draw() {
    this.width = this.host.clientWidth || 640;
    const narrow = this.width < 560;
    const gutter = this.spec.gutter || 66;
    this.room = Math.max(80, this.width - gutter);
    const scale = narrow ? 0.82 : 1;
    const total = this.spec.panes.reduce((sum, pane) => sum + Math.round(pane.height * scale) + 10, 0) + 24;
    this.svg.replaceChildren();
    this.svg.setAttribute("width", this.width);
    this.svg.setAttribute("height", total);
    this.svg.setAttribute("viewBox", `0 0 ${this.width} ${total}`);
    this.bottom = total - 24;
    const first = this.row(this.range[0]), last = this.row(this.range[1]);
    const ticks = timeTicks(this.spec.t, first, last, (i) => this.place(this.x[i]), this.room);
    const labels = make("g", { class: "axis" }, this.svg);
    for (const tick of ticks) {
      make("line", { x1: tick.x, x2: tick.x, y1: 0, y2: this.bottom, class: "grid" }, this.svg);
      make("text", { x: tick.x, y: total - 6, "text-anchor": "middle", class: tick.major ? "major" : "" }, labels, tick.text);
    }
    let top = 0;
    for (const pane of this.spec.panes) {
      const height = Math.round(pane.height * scale);
      this.pane(pane, top, height, first, last);
      top += height + 10;
    }
    this.cross = make("g", { class: "cross", visibility: "hidden" }, this.svg);
    this.select = make("rect", { class: "select", y: 0, height: this.bottom, visibility: "hidden" }, this.svg);
    this.read(this.spec.t.length - 1);
  }
  pane(pane, top, height, first, last) {
    let low = Infinity, high = -Infinity;
    const see = (value) => { if (value !== null && value < low) low = value; if (value !== null && value > high) high = value; };
    for (const series of pane.series) {
      if (series.kind === "trades" || series.kind === "volume") continue;
      const xs = series.x || this.x;
      for (const values of series.kind === "candles" ? [series.low, series.high] : [series.y])
        for (let i = 0; i < xs.length; i++) if (xs[i] >= this.range[0] && xs[i] <= this.range[1]) see(values[i]);
    }
    if (!(low <= high)) [low, high] = [0, 1];
    const middle = (low + high) / 2;
    if (high - low < Math.abs(middle) * 1e-9 || high === low) { const by = Math.abs(middle) * 0.01 || 1; low -= by; high += by; }
    const margin = (high - low) * 0.06;
    low -= margin;
    high = pane.ceiling !== undefined ? Math.max(pane.ceiling, high) : high + margin;
    const y = (value) => ((high - value) / (high - low)) * height;
    const { ticks, digits } = niceTicks(low, high, height / 38);
    const frame = make("g", { transform: `translate(0 ${top})` }, this.svg);
    make("line", { x1: 0, x2: this.room, y1: height, y2: height, class: "base" }, frame);
    for (const tick of ticks) {
      make("line", { x1: 0, x2: this.room, y1: y(tick), y2: y(tick), class: "grid" }, frame);
      if (y(tick) > 5 && y(tick) < height - 2) make("text", { x: this.room + 8, y: y(tick) + 4, class: "axis" }, frame, format(tick, digits) + (pane.unit || ""));
    }
    const inside = make("svg", { x: 0, y: 0, width: this.room, height, overflow: "hidden" }, frame);
    if (pane.level !== undefined) make("line", { x1: 0, x2: this.room, y1: y(pane.level), y2: y(pane.level), class: "level" }, inside);
    for (const series of pane.series) this[series.kind](inside, series, y, height, first, last);
    if (pane.label) make("text", { x: 4, y: pane.ceiling === 0 ? height - 7 : 13, class: "label" }, frame, pane.label);
  }
  track(series, y, first, last) {
    const xs = series.x || this.x;
    let path = "", pen = "M";
    for (let i = 0; i < xs.length; i++) {
      if ((i + 1 < xs.length && xs[i + 1] < this.range[0]) || (i > 0 && xs[i - 1] > this.range[1])) continue;
      if (series.y[i] === null) { pen = "M"; continue; }
      path += `${pen}${this.place(xs[i]).toFixed(1)} ${y(series.y[i]).toFixed(1)}`;
      pen = "L";
    }
    return path;
  }
  line(parent, series, y, height, first, last) {
    make("path", { d: this.track(series, y, first, last), class: "line " + series.color }, parent);
  }
  area(parent, series, y, height, first, last) {
    const path = this.track(series, y, first, last);
    if (!path) return;
    const points = path.slice(1).split(/[ML]/);
    const floor = y(series.from).toFixed(1);
    make("path", { d: `M${points[0].split(" ")[0]} ${floor}L${points.join("L")}L${points[points.length - 1].split(" ")[0]} ${floor}Z`, class: "area " + series.color }, parent);
    make("path", { d: path, class: "line " + series.color }, parent);
  }
  volume(parent, series, y, height, first, last) {
    let most = 0;
    for (let i = first; i <= last; i++) most = Math.max(most, series.y[i]);
    const half = Math.max(0.4, (this.place(1) - this.place(0)) * 0.34);
    let path = "";
    for (let i = first; i <= last && most > 0; i++) {
      const x = this.place(i);
      path += `M${(x - half).toFixed(1)} ${height}V${(height - (series.y[i] / most) * height * 0.16).toFixed(1)}H${(x + half).toFixed(1)}V${height}Z`;
    }
    make("path", { d: path, class: "volume" }, parent);
  }
  candles(parent, series, y, height, first, last) {
    const step = this.place(1) - this.place(0);
    const half = step * 0.34, thin = step < 2.5;
    const paths = { up: "", down: "" };
    for (let i = first; i <= last; i++) {
      const x = this.place(i), up = series.close[i] >= series.open[i];
      let part = `M${x.toFixed(1)} ${y(series.high[i]).toFixed(1)}V${y(series.low[i]).toFixed(1)}`;
      if (!thin) {
        const top = y(Math.max(series.open[i], series.close[i])), bottom = y(Math.min(series.open[i], series.close[i]));
        part += `M${(x - half).toFixed(1)} ${top.toFixed(1)}H${(x + half).toFixed(1)}V${Math.max(bottom, top + 0.6).toFixed(1)}H${(x - half).toFixed(1)}Z`;
      }
      paths[up ? "up" : "down"] += part;
    }
    for (const [side, path] of Object.entries(paths)) make("path", { d: path, class: "candle " + side }, parent);
  }
  trades(parent, series, y, height, first, last) {
    const paths = { won: "", lost: "", buy: "", sell: "", out: "" };
    const size = this.place(1) - this.place(0) < 3 ? 4 : 5.5;
    for (const [entry, price, exit, left, quantity, pnl] of series.rows) {
      const end = exit === null ? this.x.length - 1 : exit;
      if (end < first || entry > last) continue;
      const x = this.place(entry), at = y(price), to = this.place(end), off = y(left);
      paths[pnl >= 0 ? "won" : "lost"] += `M${x.toFixed(1)} ${at.toFixed(1)}L${to.toFixed(1)} ${off.toFixed(1)}`;
      const turn = quantity > 0 ? 1 : -1; // a long entry points up from below its price, a short one down from above
      paths[quantity > 0 ? "buy" : "sell"] += `M${x.toFixed(1)} ${(at + turn).toFixed(1)}l${size} ${turn * size * 1.7}h${-2 * size}Z`;
      if (exit !== null) paths.out += `M${(to - 3).toFixed(1)} ${off.toFixed(1)}a3 3 0 1 0 6 0a3 3 0 1 0 -6 0`;
    }
    for (const [side, path] of Object.entries(paths)) if (path) make("path", { d: path, class: "trade " + side }, parent);
  }
  spot(event) { const box = this.svg.getBoundingClientRect(); return [event.clientX - box.left, event.clientY - box.top]; }
  at(px) { return this.range[0] + (Math.min(Math.max(px, 0), this.room) / this.room) * (this.range[1] - this.range[0]); }
  point(event) {
    const [px, py] = this.spot(event);
    if (this.from !== null && this.from !== undefined) {
      this.select.setAttribute("visibility", "visible");
      this.select.setAttribute("x", Math.min(px, this.from));
      this.select.setAttribute("width", Math.abs(px - this.from));
    }
    if (px > this.room) return this.leave();
    const i = this.row(this.at(px)), x = this.place(this.x[i]);
    this.cross.replaceChildren();
    make("line", { x1: x, x2: x, y1: 0, y2: this.bottom }, this.cross);
    if (py < this.bottom) make("line", { x1: 0, x2: this.room, y1: py, y2: py }, this.cross);
    this.cross.setAttribute("visibility", "visible");
    this.read(i);
  }
  leave() { this.cross.setAttribute("visibility", "hidden"); this.read(this.spec.t.length - 1); }
  read(i) {
    this.readout.replaceChildren();
    span("when", stamp(this.spec.t[i], this.timed), this.readout);
    for (const [name, text, tone] of this.spec.read(i)) {
      const entry = span("entry", "", this.readout);
      if (name) span("name " + (tone || ""), name, entry);
      span("value", text, entry);
    }
  }
  press(event) {
    if (event.button !== 0) return;
    this.from = this.spot(event)[0];
    this.svg.setPointerCapture(event.pointerId);
  }
  release(event) {
    const from = this.from, to = this.spot(event)[0];
    this.from = null;
    this.select.setAttribute("visibility", "hidden");
    if (from !== null && from !== undefined && Math.abs(to - from) > 8) this.zoom([this.at(Math.min(from, to)), this.at(Math.max(from, to))]);
  }
  key(event) { if (this.move(event.key)) event.preventDefault(); }
  move(key) {
    const width = this.range[1] - this.range[0], middle = (this.range[0] + this.range[1]) / 2;
    const wanted = {
      ArrowLeft: [this.range[0] - width / 4, this.range[1] - width / 4], ArrowRight: [this.range[0] + width / 4, this.range[1] + width / 4],
      "+": [middle - width / 4, middle + width / 4], "-": [middle - width, middle + width], Escape: this.full,
    }[key];
    if (wanted) this.zoom(wanted);
    return wanted !== undefined;
  }
}

// ---- the charts of this report ----------------------------------------------------------------------------------
const drawEquity = (host, d) => {
  const hold = d.hold && { kind: "line", color: "hold", x: d.hold.x, y: d.hold.y };
  const held = (x) => { let k = 0; while (k + 1 < d.hold.x.length && d.hold.x[k + 1] <= x) k++; return d.hold.y[k]; };
  return new TimeChart(host, {
    title: "Equity, drawdown and exposure", t: d.t, x: d.x, gutter: 78,
    panes: [
      { height: 280, level: d.capital, series: [...(hold ? [hold] : []), { kind: "line", color: "equity", y: d.equity }] },
      { height: 96, label: "Drawdown", unit: "%", ceiling: 0, series: [{ kind: "area", color: "under", from: 0, y: d.drawdown }] },
      { height: 84, label: "Exposure, gross and net, of equity", unit: "%", level: 0, series: [{ kind: "line", color: "equity", y: d.gross }, { kind: "line", color: "hold", y: d.net }] },
    ],
    read: (i) => [
      ["Equity", format(d.equity[i], 2), "equity"],
      ...(hold ? [["Buy and hold", format(held(d.x[i]), 2), "hold"]] : []),
      ["Drawdown", format(d.drawdown[i], 2) + "%", "under"],
      ["Exposure", format(d.gross[i], 0) + "%", "equity"],
      ["Net", format(d.net[i], 0) + "%", "hold"],
    ],
  });
};
const drawCandles = (host, d) => {
  const colors = ["one", "two", "three", "four", "five", "six"];
  d.lines.forEach((line, k) => { line.color = "ink-" + colors[k % colors.length]; });
  const digits = Math.max(...d.high) < 1 ? 5 : 2;
  const series = (line) => ({ kind: "line", color: line.color, y: line.y });
  const starts = new Map();
  d.trades.forEach((trade, k) => { for (const row of [trade[0], trade[2]]) if (row !== null) starts.set(row, [...(starts.get(row) || []), k]); });
  return new TimeChart(host, {
    title: `${d.symbol}, ${d.interval} candles with trades`, t: d.t, pad: 0.7, gutter: 66,
    panes: [
      {
        height: 360,
        series: [{ kind: "volume", y: d.volume }, { kind: "candles", open: d.open, high: d.high, low: d.low, close: d.close },
          ...d.lines.filter((line) => !line.below).map(series), { kind: "trades", rows: d.trades }],
      },
      ...d.lines.filter((line) => line.below).map((line) => ({ height: 84, label: line.name, series: [series(line)] })),
    ],
    read: (i) => [
      ...["open", "high", "low", "close"].map((name) => [name[0].toUpperCase(), format(d[name][i], digits)]),
      ...d.lines.map((line) => [line.name, format(line.y[i], digits), line.color]),
      ...[...new Set(starts.get(i) || [])].slice(0, 2).map((k) => {
        const [, price, exit, left, quantity, pnl] = d.trades[k];
        return [quantity > 0 ? "Long" : "Short", `${format(Math.abs(quantity), 0)} @ ${format(price, digits)} → ${exit === null ? "open" : format(left, digits)} ${format(pnl, 2, true)}`, pnl >= 0 ? "gain" : "loss"];
      }),
    ],
  });
};

let drawn = 0;
const equityHost = document.getElementById("equity-chart");
if (equityHost && data.equity) { drawEquity(equityHost, data.equity); drawn++; }
const candleHost = document.getElementById("candle-chart");
const tabs = document.getElementById("chart-tabs");
let open = null;
const show = (k) => {
  if (open) open.close();
  open = drawCandles(candleHost, data.candles[k]);
  [...tabs.children].forEach((tab, place) => tab.setAttribute("aria-selected", String(place === k)));
  const note = document.getElementById("chart-note");
  const { interval, left_out: left, trades } = data.candles[k];
  note.textContent = `${interval} bars${left ? `, the last ${data.candles[k].t.length.toLocaleString("en-US")}` : ""} · ${trades.length} trades · drag to zoom`;
};
data.candles.forEach((entry, k) => {
  const tab = document.createElement("button");
  tab.type = "button";
  tab.setAttribute("role", "tab");
  span("", entry.symbol, tab);
  span(entry.pnl >= 0 ? "gain" : "loss", format(entry.pnl, 0, true), tab);
  tab.onclick = () => show(k);
  tabs.append(tab);
});
if (candleHost && data.candles.length) { show(0); drawn++; }

// ---- tables -----------------------------------------------------------------------------------------------------
const worth = (cell, numeric) => {
  const text = cell.textContent.trim();
  if (!numeric) return text;
  const value = parseFloat(text.replace(/,/g, "").replace("−", "-").replace("∞", "Infinity"));
  return Number.isNaN(value) ? -Infinity : value;
};
document.querySelectorAll("table.sortable").forEach((table) => {
  const heads = [...table.tHead.rows[0].cells];
  heads.forEach((head, place) => {
    const button = document.createElement("button");
    button.type = "button";
    button.append(...head.childNodes);
    head.append(button);
    button.onclick = () => {
      const numeric = head.classList.contains("n");
      const down = head.getAttribute("aria-sort") ? head.getAttribute("aria-sort") === "ascending" : numeric;
      heads.forEach((other) => other.removeAttribute("aria-sort"));
      head.setAttribute("aria-sort", down ? "descending" : "ascending");
      const rows = [...table.tBodies[0].rows].map((row) => [worth(row.cells[place], numeric), row]);
      rows.sort(([a], [b]) => (a < b ? -1 : a > b ? 1 : 0) * (down ? -1 : 1));
      table.tBodies[0].append(...rows.map(([, row]) => row));
    };
  });
});
document.querySelectorAll("input.filter").forEach((input) => {
  const rows = [...document.querySelector(input.dataset.of).tBodies[0].rows];
  input.hidden = false;
  input.oninput = () => {
    const wanted = input.value.trim().toLowerCase();
    for (const row of rows) row.hidden = !row.cells[0].textContent.toLowerCase().includes(wanted);
  };
});
root.dataset.charts = String(drawn);
})();
