"use strict";

const OVERSCAN = 6, SHEETS = 12, LEVELS = 61;

/** Decodes sheets of small pictures when a row shows one of them; keeps the latest. */
class Sheets {
  constructor({ cell, sheet, sizes }) {
    Object.assign(this, { cell, across: sheet[0], count: sheet[0] * sheet[1], sizes });
    this.images = new Map();
  }

  image(number) {
    let image = this.images.get(number);
    this.images.delete(number);
    if (!image) {
      image = new Image();
      const content = document.getElementById(`sheet-${number}`).textContent;
      image.src = `data:image/jpeg;base64,${content}`;
    }
    this.images.set(number, image);
    if (this.images.size > SHEETS) this.images.delete(this.images.keys().next().value);
    return image;
  }

  canvas(slot) {
    const canvas = document.createElement("canvas");
    [canvas.width, canvas.height] = this.sizes.slice(2 * slot, 2 * slot + 2);
    const image = this.image(Math.floor(slot / this.count)), place = slot % this.count;
    const x = place % this.across * this.cell[0];
    const y = Math.floor(place / this.across) * this.cell[1];
    const { width, height } = canvas;
    const draw = () => {
      canvas.getContext("2d").drawImage(image, x, y, width, height, 0, 0, width, height);
    };
    image.decode().then(draw, () => {});
    return canvas;
  }
}

function element(kind, name = "", text = "") {
  const made = document.createElement(kind);
  if (name) made.className = name;
  if (text) made.textContent = text;
  return made;
}

function svg(kind, attributes) {
  const made = document.createElementNS("http://www.w3.org/2000/svg", kind);
  for (const [name, value] of Object.entries(attributes)) made.setAttribute(name, value);
  return made;
}

/** A share as on the page of a video: only exactly 1 and 0 are written as 100 % and 0 %. */
function percent(share) {
  if (share > 0 && share < 0.01) return "<1 %";
  if (share > 0.99 && share < 1) return ">99 %";
  return `${Math.round(100 * share)} %`;
}

function clock(seconds) {
  if (seconds < 60) return `${seconds.toFixed(1)} s`;
  const minutes = Math.floor(seconds / 60), rest = (seconds % 60).toFixed(1).padStart(4, "0");
  if (minutes < 60) return `${minutes}:${rest}`;
  return `${Math.floor(minutes / 60)}:${String(minutes % 60).padStart(2, "0")}:${rest}`;
}

/** The table of a folder: rows in order, of which only those that are seen are in the document. */
class Index {
  constructor(data) {
    this.data = data;
    this.count = data.folder.length;
    this.sheets = new Sheets(data);
    this.table = document.querySelector(".list");
    this.body = this.table.tBodies[0];
    this.spaces = [this.space(), this.space()];
    this.body.append(...this.spaces);
    this.rows = new Map();
    this.active = -1;
    this.all = [...data.failed.keys()].map((number) => this.count + number);
    for (let row = 0; row < this.count; row += 1) this.all.push(row);
    this.table.classList.toggle("measured", data.srg.some((gain) => gain !== null));
    this.table.setAttribute("aria-rowcount", this.all.length + 1);
    this.setUpTools();
    this.restore();
    for (const part of [this.table, this.text.parentNode]) part.hidden = false;
    this.select();
    addEventListener("scroll", () => this.show(), { passive: true });
    addEventListener("resize", () => this.show());
    addEventListener("hashchange", () => { this.restore(); this.select(); });
    document.addEventListener("keydown", (event) => this.onKey(event));
    performance.mark("ready");
  }

  space() {
    const row = element("tr", "space"), cell = element("td");
    row.ariaHidden = "true";
    cell.colSpan = 7;
    row.append(cell);
    return row;
  }

  setUpTools() {
    const find = (selector) => document.querySelector(`.tools ${selector}`);
    this.text = find(".text");
    this.label = find(".label");
    this.warning = find(".warning");
    const { labels, codes, failed, warned } = this.data;
    this.label.append(new Option("all labels", ""), ...labels.map((text) => new Option(text)));
    this.warning.append(new Option("all videos", ""));
    if (failed.length) this.warning.append(new Option("failed", "failed"));
    if (warned.some((list) => list.length)) {
      this.warning.append(new Option("with warnings", "any"), new Option("without warnings", "no"));
    }
    this.warning.append(...codes.map((code) => new Option(code, `code:${code}`)));
    this.label.hidden = labels.length < 2;
    this.warning.hidden = this.warning.options.length < 2;
    for (const control of [this.text, this.label, this.warning]) {
      control.addEventListener("input", () => this.refine());
    }
    for (const button of this.table.querySelectorAll("[data-sort]")) {
      button.addEventListener("click", () => this.sortBy(button.dataset.sort));
    }
    this.keys = document.querySelector("dialog.keys");
    find(".help").addEventListener("click", () => this.keys.showModal());
  }

  /** What is shown is in the address, so that the way back from a video leads to it. */
  restore() {
    const wanted = new URLSearchParams(location.hash.slice(1));
    this.text.value = wanted.get("text") ?? "";
    this.label.value = wanted.get("label") ?? "";
    this.warning.value = wanted.get("show") ?? "";
    for (const select of [this.label, this.warning]) {
      if (select.selectedIndex < 0) select.selectedIndex = 0;
    }
    const [, sign, column] = /^(-?)(\w+)$/.exec(wanted.get("sort") ?? "") ?? [];
    this.sorted = this.keysOf()[column] ? { column, down: sign === "-" } : null;
  }

  store() {
    const { sorted } = this, wanted = new URLSearchParams();
    const order = sorted ? (sorted.down ? "-" : "") + sorted.column : "";
    const parts = { text: this.text.value, label: this.label.value, show: this.warning.value };
    for (const [name, value] of Object.entries({ ...parts, sort: order })) {
      if (value) wanted.set(name, value);
    }
    history.replaceState(null, "", `#${wanted}`);
  }

  refine() {
    this.active = -1;
    this.store();
    this.select();
    if (this.table.getBoundingClientRect().top < 0) scrollTo(0, this.top() - 60);
    this.show();
  }

  /** Keys to sort by; missing ones come last in both directions. */
  keysOf() {
    const { video, labels, label, score, peak, start, srg, warned } = this.data;
    const text = (of) => ({ of, down: false });
    const number = (of) => ({ of, down: true });
    return {
      video: text((row) => video[row]),
      label: text((row) => labels[label[row]]),
      score: number((row) => score[row]),
      time: { of: (row) => peak[row] === null ? null : peak[row] - start[row], down: false },
      srg: number((row) => srg[row]),
      warned: number((row) => warned[row].length || null),
    };
  }

  /** First in the direction that is more useful, then in the other one, then as in the folder. */
  sortBy(column) {
    const first = this.keysOf()[column].down, { sorted } = this;
    if (sorted?.column !== column) this.sorted = { column, down: first };
    else this.sorted = sorted.down === first ? { column, down: !first } : null;
    this.refine();
  }

  select() {
    const words = this.text.value.toLowerCase().split(/\s+/).filter(Boolean);
    const label = this.label.selectedIndex - 1, show = this.warning.value;
    const code = show.startsWith("code:") ? this.data.codes.indexOf(show.slice(5)) : -1;
    const { labels, target, warned } = this.data;
    const matches = (row) => {
      const failed = row >= this.count;
      if (label >= 0 && (failed || this.data.label[row] !== label && target[row] !== label)) {
        return false;
      }
      if (show && failed !== (show === "failed")) return false;
      if (show === "any" && !warned[row].length || show === "no" && warned[row].length) return false;
      if (code >= 0 && !warned[row].includes(code)) return false;
      if (!words.length) return true;
      const haystack = this.haystack(row);
      return words.every((word) => haystack.includes(word));
    };
    this.order = label < 0 && !show && !words.length ? [...this.all] : this.all.filter(matches);
    if (this.sorted) this.sort();
    const { length } = this.order, total = this.all.length;
    const of = length === total ? "" : ` of ${total.toLocaleString("en")}`;
    document.querySelector(".count").textContent =
      `${length.toLocaleString("en")}${of} video${total === 1 ? "" : "s"}`;
    document.querySelector(".none").hidden = length > 0;
    for (const head of this.table.querySelectorAll("thead th")) {
      const column = head.firstChild.dataset.sort;
      const isSorted = this.sorted !== null && this.sorted.column === column;
      if (!isSorted) head.removeAttribute("aria-sort");
      else head.setAttribute("aria-sort", this.sorted.down ? "descending" : "ascending");
    }
    for (const row of this.rows.values()) row.remove();
    this.rows.clear();
    this.show();
  }

  haystack(row) {
    this.haystacks ??= [];
    const { data, count } = this;
    return this.haystacks[row] ??= (row >= count ? data.failed[row - count] : [
      data.video[row], data.folder[row], data.labels[data.label[row]],
      data.labels[data.target[row]], ...data.warned[row].map((code) => data.codes[code]),
    ]).join("\n").toLowerCase();
  }

  sort() {
    const { of } = this.keysOf()[this.sorted.column], sign = this.sorted.down ? -1 : 1;
    const { compare } = new Intl.Collator(undefined, { numeric: true });
    const keys = new Map(this.order.map((row) => [row, row < this.count ? of(row) : null]));
    this.order.sort((one, other) => {
      const [a, b] = [keys.get(one), keys.get(other)];
      if (a === null || b === null) return (a === null) - (b === null) || one - other;
      return sign * (typeof a === "string" ? compare(a, b) : a - b) || one - other;
    });
  }

  top() {
    return this.body.getBoundingClientRect().top + scrollY;
  }

  /** Put the rows that are seen into the document, and take the others out. */
  show() {
    const height = parseFloat(getComputedStyle(document.body).getPropertyValue("--row"));
    const above = scrollY - this.top(), { length } = this.order;
    const first = Math.max(0, Math.min(length, Math.floor(above / height) - OVERSCAN));
    const last = Math.min(length, Math.ceil((above + innerHeight) / height) + OVERSCAN);
    const wanted = new Set();
    for (let place = first; place < Math.max(first, last); place += 1) wanted.add(place);
    for (const [place, row] of this.rows) {
      if (!wanted.has(place)) {
        row.remove();
        this.rows.delete(place);
      }
    }
    let next = this.spaces[1];
    for (const place of [...wanted].reverse()) {
      let row = this.rows.get(place);
      if (!row) {
        row = this.row(this.order[place], place);
        this.rows.set(place, row);
        this.body.insertBefore(row, next);
      }
      next = row;
    }
    this.spaces[0].firstChild.style.height = `${first * height}px`;
    this.spaces[1].firstChild.style.height = `${Math.max(0, length - Math.max(first, last)) * height}px`;
  }

  row(number, place) {
    const row = element("tr");
    row.setAttribute("aria-rowindex", place + 2);
    row.dataset.place = place;
    const cell = (name, ...parts) => {
      const made = element("td", name);
      made.append(...parts);
      row.append(made);
      return made;
    };
    if (number >= this.count) this.failedCells(this.data.failed[number - this.count], row, cell);
    else this.cells(number, cell);
    return row;
  }

  failedCells([name, cause, hint], row, cell) {
    row.className = "failed";
    const text = element("span", "cause"), title = element("b", "", "failed");
    text.append(title, hint ? `${cause}; ${hint}` : cause);
    text.title = hint ? `${cause}\n${hint}` : cause;
    cell("picture");
    cell("video", ...this.name(name));
    cell("cause-cell", text).colSpan = this.table.classList.contains("measured") ? 5 : 4;
  }

  cells(number, cell) {
    const { data } = this;
    const label = data.labels[data.label[number]], target = data.labels[data.target[number]];
    const slot = data.slot[number];
    cell("picture", ...(slot < 0 ? [] : [this.sheets.canvas(slot)]));
    const link = element("a");
    link.href = `${this.folderOf(number)}/${data.files[data.file[number]]}`;
    cell("video", ...this.name(data.video[number], link));
    const asked = label === target ? [] : [element("span", "soft", `explained: ${target}`)];
    const answer = element("bdi", "", label);
    answer.title = label;
    cell("label", answer, ...asked);
    cell("score", ...this.score(data.score[number], data.raw[number]));
    cell("time", ...this.importance(number));
    const gain = data.srg[number], beaten = data.beaten[number];
    const words = gain === null ? "" : `${gain.toFixed(2)}${beaten ? " !" : ""}`;
    const srg = cell("srg", element("span", beaten ? "beaten" : "", words));
    if (beaten) srg.title = "a baseline is at least as faithful";
    const codes = data.warned[number].map((code) => data.codes[code]).join(", ");
    const warned = element("span", "codes", codes);
    warned.title = codes;
    cell("warned", warned);
  }

  folderOf(number) {
    const { folder, links } = this.data;
    const parts = folder[number].split("/").map(encodeURIComponent);
    return `./${links[number] ?? parts.join("/")}`;
  }

  /** The name of a file, and the folder that it is in. */
  name(path, link = element("span")) {
    const end = path.lastIndexOf("/");
    link.append(element("bdi", "", path.slice(end + 1)));
    link.title = path;
    const parts = [link];
    if (end > 0) parts.push(element("span", "soft", path.slice(0, end)));
    return parts;
  }

  score(score, raw) {
    if (raw) return [element("span", "", score.toPrecision(3))];
    const meter = svg("svg", { class: "meter", "aria-hidden": "true" });
    meter.append(svg("rect", { width: `${100 * score}%`, height: "100%" }));
    return [element("span", "", percent(score)), meter];
  }

  /** The curve over the explained time, and when it is highest. */
  importance(number) {
    const { curve, flat, peak, start, end } = this.data, levels = [...curve[number]];
    const when = peak[number] === null ? "no moment stands out" : `highest at ${clock(peak[number])}`;
    const image = svg("svg", {
      class: "curve", role: "img", "aria-label": when, viewBox: "0 0 480 30",
      preserveAspectRatio: "none",
    });
    if (flat[number]) image.append(svg("path", { class: "line flat", d: "M0 16H480" }));
    else image.append(...this.lines(levels));
    const title = svg("title", {});
    title.textContent = `${when}, of ${clock(start[number])} to ${clock(end[number])}`;
    image.append(title);
    return [image];
  }

  lines(levels) {
    const width = 480 / levels.length;
    let line = "", area = "", run = [];
    const finish = () => {
      if (!run.length) return;
      const [first, last] = [run[0][0], run[run.length - 1][0] + width];
      const points = run.map(([x, y]) => `${x + width / 2} ${y}`).join("L");
      line += `M${points}h0`;
      area += `M${first} 29L${points}L${last} 29Z`;
      run = [];
    };
    levels.forEach((level, place) => {
      if (level === " ") finish();
      else run.push([place * width, +(29 - 27 * this.level(level) / LEVELS).toFixed(1)]);
    });
    finish();
    return [svg("path", { class: "area", d: area }), svg("path", { class: "line", d: line })];
  }

  level(letter) {
    const code = letter.charCodeAt(0);
    return code >= 97 ? code - 71 : code >= 65 ? code - 65 : code + 4;
  }

  onKey(event) {
    if (this.keys.open || event.ctrlKey || event.metaKey || event.altKey) return;
    const { key, target } = event, { length } = this.order;
    const typing = target.matches("input, select");
    const focused = target.closest?.("[data-place]");
    if (focused) this.active = Number(focused.dataset.place);
    const go = (place) => () => this.focus(place);
    const actions = {
      Escape: () => this.reset(),
      ...(target.matches("select") ? {} : {
        ArrowDown: go(this.active + 1), ArrowUp: go(this.active - 1),
        PageDown: go(this.active + 10), PageUp: go(this.active - 10),
      }),
      ...(typing ? {} : {
        Home: go(0), End: go(length - 1), "/": () => { this.text.focus(); this.text.select(); },
        "?": () => this.keys.showModal(),
      }),
    };
    if (!Object.hasOwn(actions, key)) return;
    event.preventDefault();
    actions[key]();
  }

  reset() {
    this.text.value = "";
    this.label.selectedIndex = this.warning.selectedIndex = 0;
    this.refine();
  }

  /** Bring a row into view and give it the focus. */
  focus(place) {
    const { length } = this.order;
    if (!length) return;
    this.active = Math.max(0, Math.min(length - 1, place));
    const height = parseFloat(getComputedStyle(document.body).getPropertyValue("--row"));
    const y = this.top() + this.active * height - scrollY, covered = 96;
    if (y < covered) scrollBy(0, y - covered);
    else if (y + height > innerHeight) scrollBy(0, y + height - innerHeight + 8);
    this.show();
    const row = this.rows.get(this.active), link = row.querySelector("a") ?? row;
    if (link === row) row.tabIndex = -1;
    link.focus({ preventScroll: true });
  }
}

window.index = new Index(JSON.parse(document.getElementById("index-data").textContent));
