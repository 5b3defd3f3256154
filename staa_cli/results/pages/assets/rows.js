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

/** Makes the rows of a table; what has no result comes after the others, in `data.failed`. */
class Rows {
  constructor(data, count) {
    this.data = data;
    this.count = count;
    this.sheets = new Sheets(data);
  }

  /** A row; `cells(number, cell)` fills that of a result. */
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

  failedCells([name, cause, hint, kind = "failed"], row, cell) {
    row.className = "failed";
    const text = element("span", "cause"), title = element("b", "", kind);
    text.append(title, hint ? `${cause}; ${hint}` : cause);
    text.title = hint ? `${cause}\n${hint}` : cause;
    cell("picture");
    cell("video", ...this.name(name));
    cell("cause-cell", text).colSpan = this.columnsFrom(2);
  }

  /** Number of columns that are seen from one on; cells over more would make the others narrower. */
  columnsFrom(first) {
    const heads = [...document.querySelectorAll(".list thead th")].slice(first);
    return Math.max(1, heads.filter((head) => head.offsetWidth).length);
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
