
const OVERSCAN = 6;

/** The table of a folder: rows in order, of which only those that are seen are in the document. */
class Index {
  constructor(data) {
    this.data = data;
    this.count = data.folder.length;
    this.maker = new Rows(data);
    this.table = document.querySelector(".list");
    this.body = this.table.tBodies[0];
    this.spaces = [this.space(), this.space()];
    this.body.append(...this.spaces);
    this.rows = new Map();
    this.active = -1;
    this.all = [...data.failed.keys()].map((number) => this.count + number);
    for (let row = 0; row < this.count; row += 1) this.all.push(row);
    this.table.classList.toggle("measured", this.maker.measured);
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
    cell.colSpan = this.maker.measured ? 7 : 6;
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
        row = this.maker.row(this.order[place], place);
        this.rows.set(place, row);
        this.body.insertBefore(row, next);
      }
      next = row;
    }
    this.spaces[0].firstChild.style.height = `${first * height}px`;
    this.spaces[1].firstChild.style.height = `${Math.max(0, length - Math.max(first, last)) * height}px`;
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
