"use strict";

const OVERSCAN = 6;

/**
 * A table that sorts and filters; only the rows that are seen are in the document.
 *
 * A page adds `keysOf()`, what its columns sort by; `words(row)`, texts to search in; `filter()`,
 * a test of a row by the page's own controls; and `maker`, which makes rows. Controls have the names
 * that their values have in the address.
 */
class Table {
  constructor(maker, controls) {
    this.maker = maker;
    this.count = maker.count;
    this.failed = maker.data.failed;
    this.controls = controls;
    this.text = controls.text;
    this.table = document.querySelector(".list");
    this.body = this.table.tBodies[0];
    this.spaces = [this.space(), this.space()];
    this.body.append(...this.spaces);
    this.rows = new Map();
    this.active = -1;
    this.all = [...this.failed.keys()].map((number) => this.count + number);
    for (let row = 0; row < this.count; row += 1) this.all.push(row);
    this.table.setAttribute("aria-rowcount", this.all.length + 1);
    this.keys = document.querySelector("dialog.keys");
  }

  /** To be called when the page is complete. */
  start() {
    for (const control of Object.values(this.controls)) {
      control.addEventListener("input", () => this.refine());
    }
    for (const button of this.table.querySelectorAll("[data-sort]")) {
      button.addEventListener("click", () => this.sortBy(button.dataset.sort));
    }
    document.querySelector(".tools .help").addEventListener("click", () => this.keys.showModal());
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
    row.append(cell);
    return row;
  }

  /** What is shown is in the address, so that the way back from a video leads to it. */
  restore() {
    const wanted = new URLSearchParams(location.hash.slice(1));
    for (const [name, control] of Object.entries(this.controls)) {
      control.value = wanted.get(name) ?? "";
      if (control.selectedIndex < 0) control.selectedIndex = 0;
    }
    const [, sign, column] = /^(-?)(\w+)$/.exec(wanted.get("sort") ?? "") ?? [];
    this.sorted = this.keysOf()[column] ? { column, down: sign === "-" } : null;
  }

  /** The part of the address that says what is shown. */
  address() {
    const { sorted } = this, wanted = new URLSearchParams();
    for (const [name, control] of Object.entries(this.controls)) {
      if (control.value) wanted.set(name, control.value);
    }
    if (sorted) wanted.set("sort", (sorted.down ? "-" : "") + sorted.column);
    return wanted;
  }

  refine() {
    this.active = -1;
    history.replaceState(null, "", `#${this.address()}`);
    this.select();
    if (this.table.getBoundingClientRect().top < 0) scrollTo(0, this.top() - 60);
    this.show();
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
    const fits = this.filter();
    const matches = (row) => {
      if (fits && !fits(row)) return false;
      if (!words.length) return true;
      const haystack = this.haystack(row);
      return words.every((word) => haystack.includes(word));
    };
    this.order = fits || words.length ? this.all.filter(matches) : [...this.all];
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
    const texts = () => (row >= this.count ? this.failed[row - this.count] : this.words(row));
    return this.haystacks[row] ??= texts().join("\n").toLowerCase();
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
    if (!this.table.offsetParent || this.keys.open || event.ctrlKey || event.metaKey || event.altKey) return;
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
    for (const control of Object.values(this.controls)) control.value = "";
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
