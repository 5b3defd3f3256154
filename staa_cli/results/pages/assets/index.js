"use strict";

/** Makes the rows of results. */
class ResultRows extends Rows {
  constructor(data) {
    super(data, data.folder.length);
    this.measured = data.srg.some((gain) => gain !== null);
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
}

/** The table of a folder of results. */
class Index extends Table {
  constructor(data) {
    const find = (selector) => document.querySelector(`.tools ${selector}`);
    const [text, label, show] = [".text", ".label", ".warning"].map(find);
    const { labels, codes, failed, warned } = data;
    label.append(new Option("all labels", ""), ...labels.map((name) => new Option(name)));
    show.append(new Option("all videos", ""));
    if (failed.length) show.append(new Option("failed", "failed"));
    if (warned.some((list) => list.length)) {
      show.append(new Option("with warnings", "any"), new Option("without warnings", "no"));
    }
    show.append(...codes.map((code) => new Option(code, `code:${code}`)));
    label.hidden = labels.length < 2;
    show.hidden = show.options.length < 2;
    super(new ResultRows(data), { text, label, show });
    this.data = data;
    this.table.classList.toggle("measured", this.maker.measured);
    this.start();
  }

  /** Keys to sort by; missing ones come last in both directions. */
  keysOf() {
    const { video, labels, label, score, peak, srg, warned } = this.data;
    const rising = (of) => ({ of, down: false });
    const falling = (of) => ({ of, down: true });
    return {
      video: rising((row) => video[row]),
      label: rising((row) => labels[label[row]]),
      score: falling((row) => score[row]),
      time: rising((row) => peak[row]),
      srg: falling((row) => srg[row]),
      warned: falling((row) => warned[row].length || null),
    };
  }

  filter() {
    const { codes, label, target, warned } = this.data;
    const wanted = this.controls.label.selectedIndex - 1, show = this.controls.show.value;
    const code = show.startsWith("code:") ? codes.indexOf(show.slice(5)) : -1;
    if (wanted < 0 && !show) return null;
    return (row) => {
      const failed = row >= this.count;
      if (wanted >= 0 && (failed || label[row] !== wanted && target[row] !== wanted)) return false;
      if (show && failed !== (show === "failed")) return false;
      if (show === "any" && !warned[row].length || show === "no" && warned[row].length) return false;
      return code < 0 || warned[row].includes(code);
    };
  }

  words(row) {
    const { video, folder, labels, label, target, warned, codes } = this.data;
    return [
      video[row], folder[row], labels[label[row]], labels[target[row]],
      ...warned[row].map((code) => codes[code]),
    ];
  }
}

window.index = new Index(JSON.parse(document.getElementById("index-data").textContent));
