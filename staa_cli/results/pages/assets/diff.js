"use strict";

/** Makes the rows of pairs of results; a curve and a picture of the old one are beside the new. */
class PairRows extends Rows {
  constructor(data) {
    super(data, data.count);
  }

  cells(number, cell) {
    const { data } = this;
    const slots = data.slot[number].filter((slot) => slot >= 0);
    cell("picture", ...slots.map((slot) => this.sheets.canvas(slot)));
    const link = element("a");
    link.href = `#${this.address(number)}`;
    cell("video", ...this.name(data.video[number], link));
    cell("label", ...this.answers(number));
    cell("importance", this.curves(number));
    cell("shift", ...this.measure(`${data.shift[number].toFixed(2)} s`, data.when[number]));
    cell("moved", ...this.measure(percent(data.moved[number]), data.spots[data.where[number]]));
    cell("rank", element("span", "", data.rank[number]?.toFixed(2) ?? "-"));
    const codes = element("span", "codes", this.codes(number).join(", "));
    codes.title = codes.textContent;
    cell("warned", codes);
    if (data.gates.length) cell("gates", ...this.states(number));
  }

  /** The label, or both if it has changed, and the scores. */
  answers(number) {
    const [old, now] = this.data.label[number].map((label) => this.data.labels[label]);
    const targets = this.data.target[number].map((label) => this.data.labels[label]);
    const scores = this.data.score[number];
    const label = element("span", old === now ? "" : "changed");
    label.append(...(old === now ? [element("bdi", "", now)]
      : [element("bdi", "", old), " → ", element("bdi", "", now)]));
    label.title = label.textContent;
    const score = scores[0] === scores[1] ? scores[0] : scores.join(" → ");
    const isAsked = targets[0] !== old || targets[1] !== now;
    const asked = isAsked ? `, explained: ${[...new Set(targets)].join(" → ")}` : "";
    return [label, element("span", "soft", score + asked)];
  }

  measure(value, where) {
    const soft = element("span", "soft", where);
    soft.title = where;
    return [element("span", "value", value), soft];
  }

  codes(number) {
    const { codes, added, removed } = this.data;
    return [
      ...added[number].map((code) => `+ ${codes[code]}`),
      ...removed[number].map((code) => `- ${codes[code]}`),
    ];
  }

  states(number) {
    const { beyond, noise, gates } = this.data;
    const names = beyond[number].map((gate) => gates[gate]);
    const state = element("span", names.length ? "state failed" : "state passed");
    state.textContent = names.length ? "beyond" : noise[number] ? "within noise" : "within";
    const soft = element("span", "soft", names.join(", "));
    soft.title = names.join("\n");
    return [state, soft];
  }

  /** Both curves on one scale: the old one is dashed. */
  curves(number) {
    const [old, now] = this.data.curve[number].map((levels) => this.lines([...levels]));
    const when = this.data.when[number];
    const image = svg("svg", {
      class: "curve", role: "img", viewBox: "0 0 480 30", preserveAspectRatio: "none",
      "aria-label": when ? `importance moved: ${when}` : "importance has not moved",
    });
    old[1].setAttribute("class", "line old");
    image.append(...now, old[1]);
    return image;
  }

  /** Links to both results. */
  links(number) {
    const { roots, folder, file, files } = this.data;
    return ["old", "new"].map((name, side) => {
      const link = element("a", "", `${name} ${files[file[number][side]]}`);
      link.href = `${roots[side]}/${folder[number][side]}/${files[file[number][side]]}`;
      return link;
    });
  }
}

const MEASURES = {
  shift: ["moved in time, s", true],
  moved: ["moved in place, %", true],
  rank: ["rank correlation", false],
};

/** The table of all pairs. */
class Pairs extends Table {
  constructor(data) {
    const find = (selector) => document.querySelector(`.tools ${selector}`);
    const [text, show, measure, limit] = [".text", ".show", ".measure", ".limit"].map(find);
    const { codes, gates, label, failed, added, removed, beyond } = data;
    const offer = (name, value, isThere) => { if (isThere) show.append(new Option(name, value)); };
    show.append(new Option("all videos", ""));
    offer("beyond a gate", "beyond", beyond.some((list) => list.length));
    if (gates.length > 1) gates.forEach((gate, i) => offer(`beyond ${gate}`, `gate:${i}`, true));
    offer("label changed", "label", label.some(([old, now]) => old !== now));
    const hasChanges = added.some((list) => list.length) || removed.some((list) => list.length);
    offer("warnings changed", "warned", hasChanges);
    codes.forEach((code, i) => offer(`+ ${code}`, `added:${i}`, true));
    codes.forEach((code, i) => offer(`- ${code}`, `removed:${i}`, true));
    for (const kind of ["lost", "added", "unreadable"]) {
      offer(kind, kind, failed.some((one) => one[3] === kind));
    }
    measure.append(new Option("any change", ""));
    for (const [name, [words, isLeast]] of Object.entries(MEASURES)) {
      measure.append(new Option(`${words} ${isLeast ? "≥" : "≤"}`, name));
    }
    super(new PairRows(data), { text, show, measure, limit });
    this.data = data;
    show.hidden = show.options.length < 2;
    document.querySelector(".list").classList.toggle("warned", hasChanges);
    measure.hidden = data.count < 2;
    this.maker.address = (number) => {
      const address = this.address();
      address.set("pair", number);
      return address;
    };
    this.start();
  }

  restore() {
    super.restore();
    this.controls.limit.hidden = !this.controls.measure.value;
  }

  refine() {
    this.controls.limit.hidden = !this.controls.measure.value;
    super.refine();
  }

  keysOf() {
    const { video, labels, label, shift, moved, rank, added, removed, beyond } = this.data;
    const rising = (of) => ({ of, down: false });
    const falling = (of) => ({ of, down: true });
    return {
      video: rising((row) => video[row]),
      label: falling((row) => {
        const [old, now] = label[row];
        return `${Number(old !== now)} ${labels[now]}`;
      }),
      shift: falling((row) => shift[row]),
      moved: falling((row) => moved[row]),
      rank: rising((row) => rank[row]),
      warned: falling((row) => added[row].length + removed[row].length || null),
      gates: falling((row) => beyond[row].length || null),
    };
  }

  filter() {
    const show = this.controls.show.value, measure = this.controls.measure.value;
    const limit = this.controls.limit.valueAsNumber, hasLimit = measure && !Number.isNaN(limit);
    if (!show && !hasLimit) return null;
    const { label, added, removed, beyond } = this.data;
    const [kind, number] = show.split(":");
    const tests = {
      beyond: (row) => beyond[row].length,
      gate: (row) => beyond[row].includes(Number(number)),
      label: (row) => label[row][0] !== label[row][1],
      warned: (row) => added[row].length || removed[row].length,
      removed: (row) => removed[row].includes(Number(number)),
    };
    if (number) tests.added = (row) => added[row].includes(Number(number));
    return (row) => {
      if (row >= this.count) return !hasLimit && this.failed[row - this.count][3] === show;
      if (show && !tests[kind]?.(row)) return false;
      if (!hasLimit) return true;
      const value = this.data[measure][row] * (measure === "moved" ? 100 : 1);
      if (this.data[measure][row] === null) return false;
      return MEASURES[measure][1] ? value >= limit : value <= limit;
    };
  }

  words(row) {
    const { video, labels, label, target, when, spots, where, gates, beyond } = this.data;
    return [
      video[row], ...[...label[row], ...target[row]].map((number) => labels[number]), when[row],
      spots[where[row]], ...this.maker.codes(row), ...beyond[row].map((gate) => gates[gate]),
    ];
  }
}

/** The viewer of a pair; its curves are in multiples of their means. */
class PairViewer extends Viewer {
  constructor(root, data, arrays) {
    super(root, data, arrays);
    this.curves = [arrays.importance_0, arrays.importance_1];
    this.showState();
  }

  showEnds() {}

  describe(frame) {
    const [old, now] = (this.curves ?? []).map((curve) => this.amount(curve[frame]));
    return `${this.clock(this.player.times[frame])}: old ${old}, new ${now} of the mean`;
  }

  amount(value) {
    return Number.isNaN(value) ? "not seen" : `${value.toFixed(2)} ×`;
  }
}

/** Shows the list, or the pair that the address names. */
class Diff {
  constructor(data) {
    this.data = data;
    [this.overview, this.detail] = ["overview", "detail"].map(
      (name) => document.querySelector(`main.${name}`),
    );
    this.header = document.querySelector("header");
    this.articles = new Map();
    if (!this.overview) {
      this.mount(this.detail);
      return;
    }
    this.list = new Pairs(data);
    this.shown = -1;
    addEventListener("hashchange", () => this.route());
    document.addEventListener("keydown", (event) => this.onKey(event));
    this.route();
  }

  mount(article) {
    for (const root of article.querySelectorAll("[data-viewer]")) mountViewer(root, PairViewer);
  }

  route() {
    const wanted = new URLSearchParams(location.hash.slice(1)).get("pair");
    const number = wanted === null ? -1 : Number(wanted);
    const isThere = Number.isInteger(number) && number >= 0 && number < this.data.count;
    if (!isThere) this.showList();
    else if (number !== this.shown) this.showPair(number);
  }

  showList() {
    const before = this.shown;
    this.shown = -1;
    this.detail.hidden = true;
    this.detail.replaceChildren();
    this.header.classList.remove("small");
    this.overview.hidden = false;
    this.list.show();
    if (before < 0) return;
    scrollTo(0, this.scrolled);
    this.list.show();
    const place = this.list.order.indexOf(before);
    if (place >= 0) this.list.focus(place);
  }

  showPair(number) {
    if (this.shown < 0) this.scrolled = scrollY;
    this.shown = number;
    this.overview.hidden = true;
    this.header.classList.add("small");
    const isNew = !this.articles.has(number);
    if (isNew) this.articles.set(number, this.article(number));
    const article = this.articles.get(number);
    this.detail.replaceChildren(this.bar(number), article);
    this.detail.hidden = false;
    if (isNew) this.mount(article);
    scrollTo(0, 0);
    this.detail.querySelector("a").focus({ preventScroll: true });
  }

  /** The way back, and to the neighbors in the list. */
  bar(number) {
    const bar = element("nav", "trail"), { order } = this.list, place = order.indexOf(number);
    const link = (text, target, name) => {
      const made = element("a", name, text);
      if (target === undefined) made.ariaDisabled = "true";
      else made.href = `#${target < 0 ? this.list.address() : this.list.maker.address(target)}`;
      return made;
    };
    const known = (at) => (order[at] < this.data.count ? order[at] : undefined);
    const where = element("span", "soft", place < 0 ? "" : `${place + 1} of ${order.length}`);
    bar.append(
      link("← all videos", -1, "back"), where,
      link("previous", place < 0 ? undefined : known(place - 1), "previous"),
      link("next", place < 0 ? undefined : known(place + 1), "next"),
    );
    return bar;
  }

  article(number) {
    const template = document.getElementById(`article-${number}`);
    return template ? template.content.cloneNode(true).firstChild : this.brief(number);
  }

  /** What the list has of a pair whose maps are not in the page. */
  brief(number) {
    const { data } = this, { maker } = this.list, article = element("article", "brief");
    const [name, folder] = maker.name(data.video[number], element("h2", "title"));
    const [label, score] = maker.answers(number), answers = element("p", "answers");
    answers.append(label, " ", score);
    const mostly = (text) => (text ? `, mostly ${text}` : "");
    const list = element("ul", "verdict");
    list.append(...[
      `When: importance moved by ${data.shift[number].toFixed(2)} s${mostly(data.when[number])}`,
      `Where: ${percent(data.moved[number])} of the heat is elsewhere`
        + mostly(data.spots[data.where[number]]),
      ...maker.codes(number), ...data.beyond[number].map((gate) => `beyond ${data.gates[gate]}`),
    ].map((text) => element("li", "", text)));
    const note = "It cannot be played here, as the page would be too large: see both reports.";
    const links = element("p", "links"), [old, now] = maker.links(number);
    links.append(old, " · ", now);
    article.append(name, ...(folder ? [folder] : []), answers, list, maker.curves(number), element("p", "soft", note), links);
    return article;
  }

  onKey(event) {
    if (this.shown < 0 || this.list.keys.open) return;
    if (event.ctrlKey || event.metaKey || event.altKey || event.target.matches("select")) return;
    const names = { Escape: "back", n: "next", p: "previous" };
    const link = this.detail.querySelector(`.trail .${names[event.key]}[href]`);
    if (!names[event.key] || !link) return;
    event.preventDefault();
    link.click();
  }
}

window.diff = new Diff(JSON.parse(document.getElementById("diff-data").textContent));
