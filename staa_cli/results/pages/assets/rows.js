"use strict";

const SHEETS = 12, LEVELS = 61;

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

/** Makes the rows of the table. */
class Rows {
  constructor(data) {
    this.data = data;
    this.count = data.folder.length;
    this.sheets = new Sheets(data);
    this.measured = data.srg.some((gain) => gain !== null);
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
    cell("cause-cell", text).colSpan = this.measured ? 5 : 4;
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
}
