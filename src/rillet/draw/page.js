"use strict";
// Folding: a group that is folded or unfolded changes size, and everything is placed anew. Rows and their order stay as
// they are (they come with the page); where things stand is found here as in coordinates.py and arrange.py.
const { levels, nodes, labels, folded: start, edges, text, metric } = JSON.parse(document.getElementById("data").textContent);
const folded = new Set(start);
const svg = document.getElementById("picture"), view = document.getElementById("view"), lines = document.getElementById("lines");
const details = document.getElementById("details");
const find = (name, key) => document.querySelector(`[data-${name}="${key}"]`);

function increasingFit(wanted, weights) {
  const pools = [];
  wanted.forEach((value, i) => {
    let weight = weights[i], count = 1;
    while (pools.length && pools[pools.length - 1][0] > value) {
      const [mean, other, members] = pools.pop();
      value = (value * weight + mean * other) / (weight + other);
      weight += other; count += members;
    }
    pools.push([value, weight, count]);
  });
  return pools.flatMap(([mean, , count]) => Array(count).fill(mean));
}

function placeRows(level, sizes) {
  const total = level.rows.reduce((sum, row) => sum + row.length, 0), bend = (v) => v >= level.count;
  const width = (v) => (bend(v) ? 0 : sizes[v][0]), height = (v) => (bend(v) ? 0 : sizes[v][1]);
  const distance = (a, b) => (width(a) + width(b)) / 2 + (bend(a) || bend(b) ? metric.bendGap : metric.gap);
  const x = Array(total).fill(0), y = Array(total).fill(0), band = Array(total), pull = (v, others) => {
    let sum = 0, weight = 0;
    for (const other of others) { const share = bend(v) && bend(other) ? metric.straight : 1; sum += share * x[other]; weight += share; }
    return sum / weight;
  };
  for (const row of level.rows) {
    let position = 0;
    row.forEach((v, i) => { if (i) position += distance(row[i - 1], v); x[v] = position; });
  }
  const rounds = (metric.rounds.find(([most]) => total <= most) || [0, metric.fewestRounds])[1];
  for (let turn = 0; turn < rounds; turn++) {
    const down = turn % 2 === 0;
    for (const row of down ? level.rows : level.rows.slice().reverse()) {
      let offset = 0;
      const offsets = [], wanted = [], weights = [];
      row.forEach((v, i) => {
        if (i) offset += distance(row[i - 1], v);
        offsets.push(offset);
        const near = down ? level.above[v] : level.below[v], far = down ? level.below[v] : level.above[v];
        const others = turn >= 2 || !near.length ? near.concat(far) : near;
        wanted.push(others.length ? pull(v, others) - offset : wanted.length ? wanted[wanted.length - 1] : 0);
        weights.push(!others.length ? metric.alone : bend(v) ? metric.straight : Math.max(1, width(v) / metric.heavy));
      });
      increasingFit(wanted, weights).forEach((value, i) => { x[row[i]] = value + offsets[i]; });
    }
  }
  straighten(level, distance, x);
  let left = Infinity, top = 0;
  for (const row of level.rows) for (const v of row) left = Math.min(left, x[v] - width(v) / 2);
  for (const row of level.rows) {
    const tallest = Math.max(0, ...row.map(height));
    for (const v of row) { x[v] -= left; y[v] = top + tallest / 2; band[v] = [top, top + tallest]; }
    top += tallest + metric.rowGap;
  }
  return { x, y, band };
}

function straighten(level, distance, x) {
  const leftOf = [], rightOf = [], done = new Set();
  for (const row of level.rows) row.forEach((v, i) => { leftOf[v] = row[i - 1]; rightOf[v] = row[i + 1]; });
  const set = (piece, low, high) => {
    if (!piece.length || low > high) return;
    const middle = Math.min(Math.max(piece.reduce((sum, v) => sum + x[v], 0) / piece.length, low), high);
    for (const v of piece) x[v] = middle;
  };
  for (const row of level.rows) for (const start of row) {
    if (done.has(start)) continue;
    const thread = [start];
    done.add(start);
    for (let last = start; level.below[last].length === 1 && level.above[level.below[last][0]].length === 1;) {
      thread.push((last = level.below[last][0]));
      done.add(last);
    }
    if (thread.length === 1) continue;
    let piece = [], low = -Infinity, high = Infinity;
    for (const v of thread) {
      const left = leftOf[v], right = rightOf[v];
      const least = left === undefined ? -Infinity : x[left] + distance(left, v), most = right === undefined ? Infinity : x[right] - distance(v, right);
      if (Math.max(low, least) > Math.min(high, most)) { set(piece, low, high); piece = []; low = -Infinity; high = Infinity; }
      piece.push(v);
      low = Math.max(low, least); high = Math.min(high, most);
    }
    set(piece, low, high);
  }
}

function measure(level) {
  const inner = {};
  const sizes = level.items.map((item, v) => {
    if ("g" in item && !folded.has(item.g)) {
      inner[v] = measure(levels[item.g]);
      return [inner[v].width + 2 * metric.padding, inner[v].height + metric.header + metric.padding];
    }
    if ("n" in item) return nodes[item.n];
    if ("l" in item) return labels[item.l];
    return "g" in item ? levels[item.g].foldedSize : [metric.port, 0];
  });
  const { x, y, band } = placeRows(level, sizes);
  const width = Math.max(0, ...x, ...sizes.map((size, v) => x[v] + size[0] / 2));
  return { x, y, band, sizes, inner, width, height: Math.max(0, ...sizes.map((size, v) => y[v] + size[1] / 2)) };
}

const shown = new Set();
function show(name, key, x, y, size) {
  const element = find(name, key);
  shown.add(element);
  element.setAttribute("transform", `translate(${x.toFixed(1)} ${y.toFixed(1)})`);
  if (name === "group") {
    const rect = element.querySelector("rect");
    rect.setAttribute("width", size[0]); rect.setAttribute("height", size[1]);
    element.classList.toggle("folded", folded.has(key));
    element.setAttribute("aria-expanded", String(!folded.has(key)));
  }
}

function put(level, inside, left, top, drawn) {
  const own = {};
  level.items.forEach((item, v) => {
    const [width, height] = inside.sizes[v], x = left + inside.x[v] - width / 2, y = top + inside.y[v] - height / 2;
    if ("n" in item) show("node", item.n, x, y);
    else if ("l" in item) show("edge", item.l, x, y);
    else if ("g" in item) {
      show("group", item.g, x, y, [width, height]);
      const within = inside.inner[v];
      if (within) {
        own[v] = {};
        levels[item.g].items.forEach((port, place) => {
          if ("p" in port) own[v][`${port.p} ${port.e}`] = x + metric.padding + within.x[place];
        });
        put(levels[item.g], within, x + metric.padding, y + metric.header, drawn);
      }
    }
  });
  drawLines(level, inside, left, top, own, drawn);
}

const isClosed = (level, inside, v) => "n" in level.items[v] || ("g" in level.items[v] && !inside.inner[v]);

function lineEnds(level, inside) {
  const touching = new Map(), offsets = {};
  const touch = (vertex, end, x, link, key) => {
    const name = `${vertex} ${end}`;
    if (!touching.has(name)) touching.set(name, { vertex, end, found: new Map() });
    const { found } = touching.get(name);
    if (!found.has(key)) found.set(key, []);
    found.get(key).push([x, link]);
  };
  level.chains.forEach((chain, link) => {
    touch(chain[0], 0, inside.x[chain[1]], link, `t${level.tensors[link]}`);
    touch(chain[chain.length - 1], 1, inside.x[chain[chain.length - 2]], link, `l${link}`);
  });
  for (const { vertex, end, found } of touching.values()) {
    if (vertex >= level.count || !isClosed(level, inside, vertex)) continue;
    const mean = (ends) => ends.reduce((sum, [x]) => sum + x, 0) / ends.length;
    const order = [...found.values()].sort((a, b) => mean(a) - mean(b) || a[0][1] - b[0][1]);
    const apart = Math.min(metric.mostApart, (inside.sizes[vertex][0] * metric.spread) / order.length);
    order.forEach((ends, place) => ends.forEach(([, link]) => { offsets[`${link} ${end}`] = (place - (order.length - 1) / 2) * apart; }));
  }
  return offsets;
}

function drawLines(level, inside, left, top, ports, drawn) {
  const offsets = lineEnds(level, inside);
  level.links.forEach(([source, target], link) => {
    const chain = level.chains[link], points = [];
    chain.forEach((v, position) => {
      const [above, below] = inside.band[v];
      let x = inside.x[v], pair = [[x, above], [x, below]];
      if (v < level.count) {
        const half = inside.sizes[v][1] / 2, end = position === 0 ? 0 : 1, item = level.items[v];
        x += offsets[`${link} ${end}`] || 0;
        const port = ports[v] && ports[v][`${level.tensors[link]} ${end === 1}`];
        if (port !== undefined) x = port - left;
        pair = end === 0 ? [[x, inside.y[v] + half], [x, below]] : [[x, above], [x, inside.y[v] - half]];
        if ("p" in item) {
          const border = item.e ? -metric.header : inside.height + metric.padding;
          pair = end === 0 ? [[x, border], pair[1]] : [pair[0], [x, border]];
        }
      }
      points.push(...pair.map(([px, py]) => [left + px, top + py]));
    });
    if (chain[0] !== source) points.reverse();
    drawn.push({ points: simple(points), edges: level.users[link], tip: isClosed(level, inside, target) });
  });
}

function simple(points) {
  const result = [], near = (a, b) => Math.abs(a - b) < 0.05;
  for (const point of points) {
    const last = result[result.length - 1], before = result[result.length - 2];
    if (last && near(point[0], last[0]) && near(point[1], last[1])) continue;
    if (before && near(before[0], last[0]) && near(last[0], point[0])) result[result.length - 1] = point;
    else result.push(point);
  }
  return result;
}

function path(points) {
  let [x, y] = points[0], d = `M${x.toFixed(1)} ${y.toFixed(1)}`;
  for (const [nextX, nextY] of points.slice(1)) {
    const half = ((y + nextY) / 2).toFixed(1), end = `${nextX.toFixed(1)} ${nextY.toFixed(1)}`;
    d += Math.abs(nextX - x) < 0.05 ? `V${nextY.toFixed(1)}` : `C${x.toFixed(1)} ${half} ${nextX.toFixed(1)} ${half} ${end}`;
    x = nextX; y = nextY;
  }
  return d;
}

let size = [0, 0];
function draw() {
  shown.clear();
  const root = measure(levels[0]), drawn = [];
  put(levels[0], root, 0, 0, drawn);
  for (const element of view.querySelectorAll("[data-node],[data-edge],[data-group]")) element.classList.toggle("hidden", !shown.has(element));
  lines.replaceChildren(...drawn.map(({ points, edges: of, tip }) => {
    const element = document.createElementNS("http://www.w3.org/2000/svg", "path");
    const hot = of.some((i) => edges[i].d), control = of.length && of.every((i) => edges[i].c);
    element.setAttribute("d", path(points));
    element.setAttribute("class", control ? "control" : hot ? "wrt" : "");
    element.dataset.ends = of.flatMap((i) => [edges[i].s, edges[i].t]).join(" ");
    if (tip) element.setAttribute("marker-end", hot ? "url(#rl-hot)" : "url(#rl-tip)");
    return element;
  }));
  size = [root.width, root.height];
}

// ---- moving about -----------------------------------------------------------------------------------------------
let scale = 1, offset = [0, 0];
const move = () => view.setAttribute("transform", `translate(${offset[0]} ${offset[1]}) scale(${scale})`);
function fit() {
  const { width, height } = svg.getBoundingClientRect(), margin = 24;
  scale = Math.min(1.4, (width - 2 * margin) / size[0], (height - 2 * margin) / size[1]);
  if (!(scale > 0)) scale = 1;
  offset = [(width - size[0] * scale) / 2, Math.max(margin, (height - size[1] * scale) / 2)];
  move();
}
function zoom(factor, x, y) {
  const { width, height } = svg.getBoundingClientRect();
  if (x === undefined) { x = width / 2; y = height / 2; }
  const next = Math.min(8, Math.max(0.02, scale * factor));
  offset = [x - ((x - offset[0]) * next) / scale, y - ((y - offset[1]) * next) / scale];
  scale = next;
  move();
}
function pan(x, y) { offset = [offset[0] + x, offset[1] + y]; move(); }
svg.addEventListener("wheel", (event) => {
  event.preventDefault();
  const { left, top } = svg.getBoundingClientRect();
  zoom(Math.exp(-event.deltaY / 400), event.clientX - left, event.clientY - top);
}, { passive: false });
let last = null, moved = 0;
svg.addEventListener("pointerdown", (event) => { last = [event.clientX, event.clientY]; moved = 0; });
window.addEventListener("pointermove", (event) => {
  if (!last) return;
  const by = [event.clientX - last[0], event.clientY - last[1]];
  moved += Math.abs(by[0]) + Math.abs(by[1]);
  last = [event.clientX, event.clientY];
  pan(...by);
});
window.addEventListener("pointerup", () => { last = null; });

// ---- folding and telling ----------------------------------------------------------------------------------------
function toggle(key) {
  if (folded.has(key)) folded.delete(key); else folded.add(key);
  draw();
  find("group", key).focus({ preventScroll: true });
}
function foldAll(wanted) {
  for (let i = 1; i < levels.length; i++) if (wanted) folded.add(i); else folded.delete(i);
  draw(); fit();
}
function tell(element) {
  const key = element && element.dataset.node;
  details.textContent = key !== undefined && key !== null ? text[key] : element && element.dataset.group ? levels[element.dataset.group].name : "";
  lines.classList.toggle("faint", Boolean(key));
  for (const line of lines.children) line.classList.toggle("near", Boolean(key) && line.dataset.ends.split(" ").includes(key));
}
const part = (event) => event.target.closest("[data-node],[data-group]");
view.addEventListener("pointerover", (event) => tell(part(event)));
view.addEventListener("pointerout", () => tell(null));
view.addEventListener("focusin", (event) => tell(part(event)));
view.addEventListener("focusout", () => tell(null));
view.addEventListener("click", (event) => {
  const element = part(event);
  if (element && element.dataset.group && moved < 5) toggle(Number(element.dataset.group));
});
document.addEventListener("keydown", (event) => {
  const element = event.target.closest ? event.target.closest("[data-group]") : null;
  const keys = {
    "+": () => zoom(1.25), "=": () => zoom(1.25), "-": () => zoom(0.8), 0: fit,
    ArrowLeft: () => pan(60, 0), ArrowRight: () => pan(-60, 0), ArrowUp: () => pan(0, 60), ArrowDown: () => pan(0, -60),
  };
  if (element && (event.key === "Enter" || event.key === " ")) { event.preventDefault(); toggle(Number(element.dataset.group)); }
  else if (!event.ctrlKey && !event.metaKey && !event.altKey && event.target.tagName !== "BUTTON" && keys[event.key]) { event.preventDefault(); keys[event.key](); }
});
for (const [id, action] of [["in", () => zoom(1.25)], ["out", () => zoom(0.8)], ["fit", fit], ["fold", () => foldAll(true)], ["unfold", () => foldAll(false)]]) {
  document.getElementById(id).addEventListener("click", action);
}
function begin() { // large pictures start at a size that can be read, at their top
  fit();
  const { width, height } = svg.getBoundingClientRect();
  if (scale > 0.55) return;
  scale = Math.min(0.9, Math.max(0.55, (width - 48) / size[0]));
  offset = [(width - size[0] * scale) / 2, 24];
  move();
}
window.addEventListener("resize", begin);
draw();
begin();
