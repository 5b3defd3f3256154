"use strict";

/** The live page: see live/server/. All text is set as text, never as HTML. */
class LivePage {
  static SPAN = 10; // seconds of the curve
  static SILENCE = 6000; // ms without a message after which the connection is lost
  static STALL = 3000; // ms without a picture after which the page says so
  static STAGES = { // by the names of the server; those that sum up others are bold
    decode: "decode",
    "capture to overlay": "capture to overlay",
    "encode for page": "encode",
    send: "send",
    "decode and show": "decode and show",
    "capture to shown": "capture to pixels",
    "window wait": "wait for the model",
    model: "model",
    "capture to maps": "capture to maps",
    "age of maps": "age of the maps",
  };
  static SUMS = ["capture to shown", "capture to maps"];

  constructor(data) {
    this.data = data;
    this.find = (selector) => document.querySelector(selector);
    this.colors = Uint8Array.from(atob(data.colors), (c) => c.charCodeAt(0));
    this.clock = new ServerClock();
    this.painter = new HeatPainter(this.find(".hue"), this.find(".glow"));
    this.screen = new Screen(
      this.find(".screen"), (picture, time) => this.shown(picture, time), () => this.failDecoder(),
    );
    this.token = new URLSearchParams(location.hash.slice(1)).get("token") ?? "";
    this.pause = 0;
    this.report = [];
    this.delays = [];
    this.frames = this.received = 0;
    this.heardAt = this.seenAt = wallMs();
    document.addEventListener("visibilitychange", () => this.watch());
    this.setUpControls();
    this.connect();
    setInterval(() => this.everySecond(), 1000);
  }

  // The connection.

  async connect() {
    this.h264 ??= await Screen.decodesH264();
    this.setState("connecting");
    const scheme = location.protocol === "https:" ? "wss:" : "ws:";
    const socket = this.socket = new WebSocket(`${scheme}//${location.host}/ws`);
    socket.binaryType = "arraybuffer";
    socket.onopen = () => {
      socket.send(JSON.stringify({ token: this.token, h264: this.h264 }));
      this.clock = new ServerClock(); // the server may be another one
      for (let i = 0; i < 5; i++) setTimeout(() => this.ping(), 100 * i);
      if (document.hidden) this.watch();
    };
    socket.onmessage = ({ data }) => {
      this.heardAt = wallMs();
      if (typeof data === "string") this.hear(JSON.parse(data));
      else this.see(readPicture(data));
    };
    socket.onclose = ({ reason }) => this.lost(reason);
    this.heardAt = wallMs();
  }

  lost(reason) {
    this.screen.reset();
    this.report = [];
    if (this.ended) return;
    if (reason === "token") {
      this.setState("refused", "token needed: open the address that staa printed");
      return;
    }
    this.pause = Math.min(10, Math.max(0.5, 2 * this.pause));
    const why = reason === "too many viewers" ? reason : "lost";
    this.setState("lost", `${why}: trying again`);
    setTimeout(() => this.connect(), 1000 * this.pause * (0.8 + 0.4 * Math.random()));
  }

  failDecoder() {
    this.h264 = false; // single pictures instead
    this.socket.close();
  }

  send(message) {
    if (this.socket.readyState === WebSocket.OPEN) this.socket.send(JSON.stringify(message));
  }

  /** Pictures are sent only to a page that can be seen. */
  watch() {
    this.send({ watching: !document.hidden });
    this.seenAt = wallMs();
  }

  ping() {
    this.send({ ping: wallMs() });
  }

  hear(message) {
    const kinds = {
      pong: () => this.clock.add(message.ping, message.server_ms, wallMs()),
      window: () => this.explain(message),
      state: () => this.showState(message),
      ended: () => {
        this.ended = true;
        this.showState(message);
        if (this.keep) this.keep.disabled = true;
        this.find(".now").textContent = "end";
        this.setState("ended", "the stream ended");
      },
    };
    kinds[message.kind]?.();
  }

  setState(state, text = state) {
    document.body.dataset.state = state;
    this.find(".connection").textContent = text;
  }

  // Pictures.

  see(picture) {
    this.received += 1;
    this.seenAt = wallMs();
    if (this.pause || document.body.dataset.state !== "live") {
      this.pause = 0;
      this.setState("live");
    }
    this.screen.take(picture);
  }

  shown(picture, time) {
    this.frames += 1;
    this.last = picture;
    const { ahead } = this.clock;
    if (ahead !== null) {
      this.report.push([picture.number, picture.received + ahead, time + ahead]);
      this.delays.push(time + ahead - picture.arrived);
      if (this.delays.length > 300) this.delays.shift();
      if (this.report.length > 100) this.report.shift();
    }
    this.scroll();
  }

  everySecond() {
    const now = wallMs(), { socket } = this, isOpen = socket?.readyState === WebSocket.OPEN;
    if (isOpen && now - this.heardAt > LivePage.SILENCE) { // closing would wait for an answer
      socket.onclose = null;
      socket.close();
      this.lost("");
    } else if (isOpen && !this.ended && !document.hidden && now - this.seenAt > LivePage.STALL) {
      this.setState("waiting", "no pictures from the source");
    }
    if (this.report.length) this.send({ shown: this.report.splice(0) });
    this.seconds = (this.seconds ?? 0) + 1;
    if (this.seconds % 5 === 0) this.ping();
    if (this.delays.length) {
      const sorted = [...this.delays].sort((a, b) => a - b);
      const at = (share) => `${Math.round(sorted[Math.floor(share * (sorted.length - 1))])} ms`;
      this.find(".shown50").textContent = at(0.5);
      this.find(".shown95").textContent = at(0.95);
    }
  }

  // Explanations.

  explain(message) {
    const isNewGrid = String(message.grid) !== String(this.window?.grid);
    this.window = message;
    this.levels = Float32Array.from(atob(message.levels), (c) => c.charCodeAt(0) / 255);
    if (isNewGrid) {
      this.painter.resize(...message.grid);
      this.restyle();
    }
    const [left, top, right, bottom] = message.box, { style } = this.find(".crop");
    style.left = `${100 * left}%`;
    style.top = `${100 * top}%`;
    style.width = `${100 * (right - left)}%`;
    style.height = `${100 * (bottom - top)}%`;
    this.draw();
    this.showAnswer();
    this.showCurve();
    this.scroll();
  }

  draw() {
    const { window } = this, badge = this.find(".badge");
    this.find(".crop").hidden = !window || !this.heat.checked;
    badge.hidden = !window?.flat.space;
    badge.textContent = "flat: no place stands out";
    if (window && this.heat.checked) this.painter.draw(this.levels);
  }

  restyle() {
    this.painter.setLook(
      this.colors, Number(this.opacity.value), Number(this.threshold.value), false,
    );
    this.draw();
  }

  answer(value) {
    if (this.window.output === "identity") return `score ${value.toPrecision(3)}`;
    const percent = 100 * value;
    return percent < 1 ? "< 1 %" : `${Math.round(percent)} %`;
  }

  showAnswer() {
    const { window } = this, score = (row) => row.probability ?? row.value;
    this.find(".label").textContent = window.label;
    this.find(".answer").textContent = this.answer(score(window));
    this.find(".source").firstChild.textContent
      = `${window.source} · ${window.method} · ${window.model}`;
    document.title = `${window.label} · staa live`;
    const isRaw = window.output === "identity";
    this.find(".top").replaceChildren(...window.top_k.map((row) => {
      const item = document.createElement("li");
      item.classList.toggle("target", row.index === window.class_index);
      const label = document.createElement("bdi"), value = document.createElement("span");
      label.textContent = row.label;
      value.textContent = this.answer(score(row));
      item.append(label, value);
      if (!isRaw) item.append(meter(score(row)));
      return item;
    }));
    const [low, high] = window.ends;
    this.find(".low").textContent = low;
    this.find(".high").textContent = high;
    this.find(".warnings").hidden = !window.notes.length;
    this.find(".warnings ul").replaceChildren(...window.notes.map((note) => {
      const item = document.createElement("li"), code = document.createElement("b");
      code.textContent = note.code;
      item.append(code, note.text);
      return item;
    }));
    this.say(`${window.label}, ${this.answer(score(window))}`);
  }

  /** Tell a screen reader, but not several times in a second. */
  say(text) {
    const now = performance.now(), { label } = this.window;
    if (label === this.saidLabel || now - (this.saidAt ?? -Infinity) < 3000) return;
    Object.assign(this, { saidLabel: label, saidAt: now });
    this.find(".said").textContent = text;
    this.find(".screen").ariaLabel = `Stream with heat, ${text}`;
  }

  /** The curve, with times from the last frame of the window on. */
  showCurve() {
    const { curve, completed_s: end, flat } = this.window, height = curve.high - curve.low;
    const y = (value) => (100 - 94 * (value - curve.low) / height).toFixed(2), zero = y(0);
    let line = "", area = "", before = null;
    curve.values.forEach((value, i) => {
      if (value === null) {
        before = null;
        return;
      }
      const x = (curve.times_s[i] - end).toFixed(3), stop = curve.times_s[i + 1];
      line += `${before === null ? "M" : "L"}${x} ${y(value)}`;
      if (stop !== undefined) {
        const until = (stop - end).toFixed(3), after = y(curve.values[i + 1] ?? value);
        area += `M${x} ${zero}V${y(value)}L${until} ${after}V${zero}Z`;
      }
      before = value;
    });
    const draw = (name, path) => this.find(`.curve .${name}`).setAttribute("d", path);
    draw("line", line);
    draw("area", area);
    draw("zero", `M-1000 ${zero}H1000`);
    this.find(".method").textContent = this.window.method;
    this.find(".note").textContent = flat.time ? "flat: no moment stands out" : "";
    const known = curve.values.filter((value) => value !== null);
    this.find(".curve").ariaLabel = `Score over the last ${LivePage.SPAN} seconds, `
      + `${Math.min(...known).toPrecision(2)} to ${Math.max(...known).toPrecision(2)}`;
  }

  /** Move the curve, and the age of the maps, to the frame that is shown. */
  scroll() {
    const { window, last } = this;
    if (last) this.find(".clock").textContent = clockText(last.time);
    if (!window) return;
    const age = Math.max(0, (last?.time ?? window.completed_s) - window.completed_s);
    this.find(".age").textContent = `maps ${age.toFixed(1)} s old`;
    const box = `${age - LivePage.SPAN} 0 ${LivePage.SPAN} 100`;
    this.find(".curve").setAttribute("viewBox", box);
  }

  // What the stream says about itself.

  showState(state) {
    if (state.source && !this.window) this.find(".source").firstChild.textContent = state.source;
    const ms = (seconds) => (seconds === null ? "–" : `${formatMs(1000 * seconds)} ms`);
    const rows = Object.entries(LivePage.STAGES).filter(([stage]) => state.delay[stage]);
    this.find(".delays tbody").replaceChildren(...rows.map(([stage, name]) => {
      const row = document.createElement("tr"), { p50, p95 } = state.delay[stage];
      row.classList.toggle("sum", LivePage.SUMS.includes(stage));
      for (const [kind, text] of [["th", name], ["td", ms(p50)], ["td", ms(p95)]]) {
        row.appendChild(document.createElement(kind)).textContent = text;
      }
      return row;
    }));
    const page = state.sinks.find((sink) => sink.output === "page");
    const count = (number) => number.toLocaleString("en");
    const share = (part, all) => (all ? `${(100 * part / all).toFixed(1)} %` : "–");
    const facts = {
      "frames on this page": `${count(this.frames)} drawn, ${count(this.received)} received`,
      "frames dropped": share(state.frames_dropped + page.frames_dropped, state.frames),
      "windows explained": `${count(state.windows)}, ${state.windows_per_second.toFixed(1)} a second`,
      "windows dropped": share(state.windows_dropped, state.windows + state.windows_dropped),
      "running for": clockText(state.seconds),
      viewers: count(page.viewers),
      pictures: this.h264 ? "H.264"
        : isSecureContext ? "JPEG" : "JPEG; H.264 needs localhost or https",
    };
    this.find(".facts").replaceChildren(...Object.entries(facts).flatMap(([name, fact]) => {
      const term = document.createElement("dt"), value = document.createElement("dd");
      term.textContent = name;
      value.textContent = fact;
      return [term, value];
    }));
  }

  // Controls.

  setUpControls() {
    this.heat = this.find("input.heat");
    this.opacity = this.find("input.opacity");
    this.threshold = this.find("input.threshold");
    this.heat.addEventListener("change", () => this.draw());
    for (const input of [this.opacity, this.threshold]) {
      input.addEventListener("input", () => this.restyle());
    }
    const keys = this.find("dialog.keys");
    this.find(".help").addEventListener("click", () => keys.showModal());
    this.keep = this.find("button.keep");
    this.keep?.addEventListener("click", () => this.keepSeconds());
    document.addEventListener("keydown", (event) => {
      const isCommand = event.ctrlKey || event.altKey || event.metaKey;
      if (keys.open || isCommand && !event.getModifierState("AltGraph")) return; // [ in German
      const turn = (steps) => {
        this.opacity.value = Number(this.opacity.value) + steps * Number(this.opacity.step);
        this.restyle();
      };
      const actions = {
        h: () => this.heat.click(),
        k: () => this.keep?.click(),
        "[": () => turn(-1),
        "]": () => turn(1),
        "?": () => keys.showModal(),
      };
      const action = actions[event.key] ?? actions[event.key.toLowerCase()];
      if (!action) return;
      event.preventDefault();
      action();
    });
  }

  async keepSeconds() {
    const kept = this.find(".kept");
    this.keep.disabled = true;
    kept.textContent = "keeping …";
    try {
      const answer = await fetch("/keep", {
        method: "POST",
        headers: { Authorization: `Bearer ${this.token}`, "Content-Type": "application/json" },
        body: JSON.stringify({ seconds: this.data.keep_s }),
      });
      const said = await answer.json();
      kept.textContent = said.folder ? `kept in ${said.folder}` : said.error;
    } catch {
      kept.textContent = "not kept: the server does not answer";
    }
    this.keep.disabled = Boolean(this.ended);
  }
}

function clockText(seconds) {
  const whole = Math.floor(seconds), two = (number) => String(number).padStart(2, "0");
  const minutes = Math.floor(whole / 60) % 60, hours = Math.floor(whole / 3600);
  const rest = `${two(whole % 60)}.${Math.floor(10 * (seconds - whole))}`;
  return hours ? `${hours}:${two(minutes)}:${rest}` : `${minutes}:${rest}`;
}

const formatMs = (ms) => (ms < 10 ? ms.toFixed(1) : Math.round(ms).toLocaleString("en"));

function meter(share) {
  const space = "http://www.w3.org/2000/svg";
  const svg = document.createElementNS(space, "svg"), bar = document.createElementNS(space, "rect");
  svg.setAttribute("class", "meter");
  svg.setAttribute("aria-hidden", "true");
  bar.setAttribute("height", "100%");
  bar.setAttribute("width", `${100 * share}%`);
  svg.append(bar);
  return svg;
}

window.live = new LivePage(JSON.parse(document.getElementById("live-data").textContent));
