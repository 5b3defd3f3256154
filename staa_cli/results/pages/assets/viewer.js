"use strict";

/** The picture of the video with the heat of a method; all but the first are copies of the video. */
class Picture {
  constructor(root, video, arrays) {
    this.video = video;
    this.crop = root.querySelector(".crop");
    this.badge = root.querySelector(".badge");
    this.copy = root.querySelector("canvas.copy");
    this.fixed = root.dataset.method;
    this.painter = new HeatPainter(root.querySelector(".hue"), root.querySelector(".glow"));
    this.colors = arrays;
    root.style.setProperty("--ratio", video.width / video.height);
  }

  choose(methods, chosen) {
    this.method = methods[this.fixed ?? chosen];
    const [left, top, right, bottom] = this.method.box, { style } = this.crop;
    style.left = `${100 * left}%`;
    style.top = `${100 * top}%`;
    style.width = `${100 * (right - left)}%`;
    style.height = `${100 * (bottom - top)}%`;
    this.painter.resize(...this.method.grid);
  }

  setLook(opacity, threshold) {
    const { colors, signed_colors: signedColors } = this.colors, { signed } = this.method;
    this.painter.setLook(signed ? signedColors : colors, opacity, threshold, signed);
  }

  draw(time, scale, isHot) {
    this.copyVideo();
    const levels = this.method.field.at(time, scale);
    this.crop.hidden = !levels || !isHot;
    if (!this.crop.hidden) this.painter.draw(levels);
    this.badge.textContent = levels ? "flat: no place stands out" : this.method.unseen;
    this.badge.hidden = Boolean(levels) && !this.method.flat;
  }

  copyVideo() {
    const { copy, video } = this, { videoWidth, videoHeight } = video;
    if (!copy || !videoWidth) return;
    const scale = Math.min(1, Picture.MAX_COPY / Math.max(videoWidth, videoHeight));
    const [width, height] = [videoWidth, videoHeight].map((side) => Math.round(scale * side));
    if (copy.width !== width || copy.height !== height) Object.assign(copy, { width, height });
    copy.getContext("2d").drawImage(video, 0, 0, width, height);
  }
}

Picture.MAX_COPY = 1280;

/** The parts of a page that move: pictures with heat, controls, and time axis. */
class Viewer {
  constructor(root, data, arrays) {
    this.root = root;
    this.data = data;
    this.seen = arrays.seen;
    const start = Math.round(data.start_s * 1e6);
    this.start = start;
    this.end = Math.round(data.end_s * 1e6);
    const times = accumulated(arrays.frame_us, start);
    this.video = this.find("video");
    this.player = new Player(this.video, times, this.end, Math.round(data.offset_s * 1e6));
    this.pictures = [...root.querySelectorAll(".picture")].map(
      (picture) => new Picture(picture, this.video, arrays),
    );
    this.methods = data.methods.map((method, number) => ({
      unseen: "not seen by the model",
      ...method,
      scores: arrays[`scores_${number}`],
      range: method.scores,
      field: new HeatField(method, number, arrays, start),
    }));
    this.setUpStage();
    this.setUpControls();
    this.setUpTime();
    this.player.onframe = () => this.draw();
    this.player.onstate = () => this.showState();
    this.choose(0);
    this.openAtPeak();
  }

  find(selector) {
    return this.root.querySelector(selector);
  }

  get method() {
    return this.methods[this.chosen];
  }

  get scale() {
    return this.find("select.scale").selectedOptions[0].textContent;
  }

  setUpStage() {
    const { video } = this;
    this.root.classList.add("live");
    video.controls = false;
    for (const picture of this.root.querySelectorAll("video, canvas.copy")) {
      picture.addEventListener("click", () => this.player.toggle());
    }
    this.find(".play").disabled = !video.hasAttribute("src");
    if (!video.hasAttribute("src")) {
      this.fail(this.data.absent ?? "The video is not in this page: see its facts.");
    }
    video.addEventListener("error", () => this.retry());
  }

  /** Some browsers play a blob but no data URL. */
  retry() {
    const address = this.video.getAttribute("src");
    if (!address.startsWith("data:")) {
      let place = address;
      try { place = decodeURIComponent(address); } catch { /* a name that is not UTF-8 */ }
      this.fail(`The video is not where it was: ${place}`);
      return;
    }
    const [head, content] = address.split(",", 2);
    const bytes = Uint8Array.from(atob(content), (c) => c.charCodeAt(0));
    const type = head.slice(5).split(";")[0];
    this.video.addEventListener("error", () => this.fail("This browser does not play the video."), {
      once: true,
    });
    this.retry = () => {};
    this.video.src = URL.createObjectURL(new Blob([bytes], { type }));
    this.openAtPeak();
  }

  fail(text) {
    const problem = this.find(".problem");
    problem.textContent = text;
    problem.hidden = false;
  }

  /** The page opens at the most important moment; the first start begins at the beginning. */
  openAtPeak() {
    const open = () => {
      this.player.seek(this.player.frameAt(this.data.peak_s * 1e6));
      this.player.touched = false;
    };
    if (this.video.readyState >= 1 || this.player.alone) open();
    else this.video.addEventListener("loadedmetadata", open, { once: true });
  }

  setUpControls() {
    this.find(".controls").hidden = false;
    this.heat = this.find("input.heat");
    this.opacity = this.find("input.opacity");
    this.threshold = this.find("input.threshold");
    this.find(".play").addEventListener("click", () => this.player.toggle());
    for (const button of this.root.querySelectorAll("[data-step]")) {
      button.addEventListener("click", () => this.player.step(Number(button.dataset.step)));
    }
    this.heat.addEventListener("change", () => this.draw());
    for (const input of [this.opacity, this.threshold]) {
      input.addEventListener("input", () => this.restyle());
    }
    this.find("select.scale").addEventListener("change", () => this.draw());
    const select = this.find("select.method");
    select?.addEventListener("change", () => this.choose(select.selectedIndex));
    const keys = document.querySelector("dialog.keys");
    this.find(".help").addEventListener("click", () => keys.showModal());
    document.addEventListener("keydown", (event) => this.onKey(event, keys));
    for (const element of document.querySelectorAll("[data-seek]")) {
      element.addEventListener("click", () => {
        this.video.pause();
        this.seekTime(Number(element.dataset.seek) * 1e6);
      });
    }
  }

  onKey(event, keys) {
    const isCommand = event.ctrlKey || event.altKey || event.metaKey;
    if (keys.open || !this.root.isConnected || isCommand && !event.getModifierState("AltGraph")) return; // [ in German
    const focus = event.target, { key } = event;
    const takesText = focus.matches("select, input:not([type=checkbox])");
    if (takesText && (key.startsWith("Arrow") || key === "Home" || key === "End")) return;
    if (key === " " && focus.matches("button, input, select, summary")) return;
    const second = (sign) => this.seekTime(this.player.times[this.player.frame] + sign * 1e6);
    const last = this.player.times.length - 1;
    const actions = {
      " ": () => this.player.toggle(),
      ArrowLeft: () => (event.shiftKey ? second(-1) : this.player.step(-1)),
      ArrowRight: () => (event.shiftKey ? second(1) : this.player.step(1)),
      Home: () => this.player.seek(0),
      End: () => this.player.seek(last),
      h: () => this.heat.click(),
      m: () => this.choose((this.chosen + 1) % this.methods.length),
      "[": () => this.changeOpacity(-1),
      "]": () => this.changeOpacity(1),
      "?": () => keys.showModal(),
    };
    const action = actions[key] ?? actions[key.toLowerCase()];
    if (!action) return;
    event.preventDefault();
    action();
  }

  changeOpacity(steps) {
    this.opacity.value = Number(this.opacity.value) + steps * Number(this.opacity.step);
    this.restyle();
  }

  choose(number) {
    this.chosen = number;
    const select = this.find("select.method");
    if (select) select.selectedIndex = number;
    for (const lane of this.root.querySelectorAll(".lane")) {
      lane.classList.toggle("chosen", Number(lane.dataset.method) === number);
    }
    for (const picture of this.pictures) picture.choose(this.methods, number);
    this.restyle();
  }

  restyle() {
    for (const picture of this.pictures) {
      picture.setLook(Number(this.opacity.value), Number(this.threshold.value));
    }
    this.draw();
  }

  setUpTime() {
    const lanes = this.find(".lanes");
    this.lanes = lanes;
    this.playhead = this.find(".playhead");
    this.pointer = this.find(".pointer");
    this.playhead.hidden = false;
    Object.assign(lanes, { tabIndex: 0, role: "slider", ariaLabel: "Time" });
    lanes.ariaValueMin = this.start / 1e6;
    lanes.ariaValueMax = this.end / 1e6;
    const timeOf = (event) => {
      const { left, width } = lanes.getBoundingClientRect();
      const share = Math.max(0, Math.min(1, (event.clientX - left) / width));
      return this.start + share * (this.end - this.start);
    };
    lanes.addEventListener("pointerdown", (event) => {
      if (event.button !== 0) return;
      lanes.setPointerCapture(event.pointerId);
      this.wasPlaying = this.player.playing;
      this.video.pause();
      this.seekTime(timeOf(event));
    });
    lanes.addEventListener("pointermove", (event) => {
      const time = timeOf(event);
      if (lanes.hasPointerCapture(event.pointerId)) this.seekTime(time);
      this.pointer.hidden = event.pointerType !== "mouse";
      this.place(this.pointer, time);
      this.pointer.textContent = this.describe(this.player.frameAt(time));
    });
    lanes.addEventListener("pointerleave", () => { this.pointer.hidden = true; });
    lanes.addEventListener("pointerup", () => {
      if (this.wasPlaying) this.player.toggle();
      this.wasPlaying = false;
    });
  }

  seekTime(time) {
    this.player.seek(this.player.frameAt(Math.max(this.start, Math.min(this.end, time))));
  }

  place(element, time) {
    const share = (time - this.start) / Math.max(this.end - this.start, 1);
    element.style.left = `${100 * Math.max(0, Math.min(1, share))}%`;
    element.classList.toggle("late", share > 0.8);
  }

  /** Heat on the frame that is shown. */
  draw() {
    const { shown, times } = this.player;
    this.showState();
    this.showEnds();
    if (shown < 0) return;
    for (const picture of this.pictures) {
      picture.draw(times[shown], this.scale, this.heat.checked);
    }
  }

  /** Which values the ends of the color bar stand for. */
  showEnds() {
    [".low", ".high"].forEach((end, i) => {
      this.find(end).textContent = this.method.ends[this.scale][i];
    });
  }

  showState() {
    const { playing, times, frame } = this.player;
    const button = this.find(".play");
    this.root.classList.toggle("playing", playing);
    button.ariaLabel = playing ? "Pause" : "Play";
    this.find(".clock").textContent = `${this.clock(times[frame])} / ${this.clock(this.end)}`;
    this.find(".frame").textContent = `frame ${this.data.first + frame}`
      + `${this.seen[frame] ? ", seen by the model" : ""}`;
    this.place(this.playhead, times[frame]);
    this.lanes.ariaValueNow = times[frame] / 1e6;
    this.lanes.ariaValueText = this.describe(frame);
  }

  /** Time and score of a frame. */
  describe(frame) {
    const score = this.scoreOf(frame);
    const text = score === null ? "not seen by the model" : `score ${score.toPrecision(2)}`;
    return `${this.clock(this.player.times[frame])}, ${text}`;
  }

  scoreOf(frame) {
    const share = this.method.scores[frame], [low, high] = this.method.range;
    return share === 65535 ? null : low + share / 65534 * (high - low);
  }

  clock(time) {
    const hundredths = Math.round(time / 1e4);
    const seconds = (hundredths % 6000 / 100).toFixed(2);
    const minutes = Math.floor(hundredths / 6000);
    if (this.end < 60e6) return `${(hundredths / 100).toFixed(2)} s`;
    const padded = seconds.padStart(5, "0");
    if (this.end < 3600e6) return `${minutes}:${padded}`;
    return `${Math.floor(minutes / 60)}:${String(minutes % 60).padStart(2, "0")}:${padded}`;
  }
}

async function mountViewer(root, Kind = Viewer) {
  const part = (name) => document.getElementById(`${root.dataset.viewer}-${name}`);
  const data = JSON.parse(part("data").textContent);
  const arrays = await unpack(part("arrays"), data.arrays);
  root.viewer = new Kind(root, data, arrays);
}

for (const root of document.querySelectorAll("[data-viewer]:not([data-kind])")) mountViewer(root);
