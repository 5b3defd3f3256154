"use strict";

/**
 * A video by its frames. Times are microseconds in the source; which frame is shown is what the
 * browser says (`mediaTime`), found among the frames' times, and never computed from a rate.
 */
class Player {
  constructor(video, times, end, offset) {
    this.video = video;
    this.times = times;
    this.end = end;
    this.offset = offset;
    this.shown = -1; // frame that is on the screen
    this.target = -1; // frame that was asked for, -1 while playing
    this.onframe = () => {};
    this.onstate = () => {};
    let gap = Infinity;
    for (let i = 1; i < times.length; i++) gap = Math.min(gap, times[i] - times[i - 1]);
    this.rounding = Math.min(500, gap / 2); // of times in containers and browsers
    for (const name of ["play", "pause", "ended", "seeking"]) {
      video.addEventListener(name, () => this.onstate());
    }
    video.addEventListener("seeked", () => {
      this.seekPending();
      setTimeout(() => this.settle(), 150);
    });
    // A paused browser may show the frame after the one that it reported last: be exact.
    video.addEventListener("pause", () => {
      if (this.target < 0) this.seek(this.frameAt(video.currentTime * 1e6 + this.offset));
    });
    this.watch();
  }

  get playing() {
    return !this.video.paused && !this.video.ended;
  }

  /** The frame that was asked for, or else the one that is shown. */
  get frame() {
    return Math.max(0, this.target < 0 ? this.shown : this.target);
  }

  /** The frame that is shown at a time. */
  frameAt(time) {
    return Math.max(0, lowerBound(this.times, time + this.rounding + 1) - 1);
  }

  toggle() {
    if (this.playing) {
      this.video.pause();
      return;
    }
    if (this.video.ended || !this.touched || this.frame >= this.times.length - 1) {
      this.target = 0;
      this.sought = -1;
    }
    this.seekPending();
    this.touched = true;
    this.tries = 0;
    this.target = -1;
    this.video.play().catch(() => {});
  }

  /** Show a frame; of several calls while the video seeks, the last one counts. */
  seek(frame) {
    this.target = Math.max(0, Math.min(this.times.length - 1, frame));
    this.touched = true;
    this.tries = 0;
    if (!this.video.seeking) this.seekPending();
    this.onstate();
  }

  step(frames) {
    this.video.pause();
    this.seek(this.frame + frames);
  }

  seekPending() {
    if (this.target < 0 || this.target === this.sought) return;
    if (this.alone) {
      this.show(this.times[this.target]);
      return;
    }
    this.sought = this.target;
    const start = this.times[this.target], next = this.times[this.target + 1] ?? this.end;
    // A little inside the frame, so that rounding cannot show the one before.
    this.video.currentTime = (start + Math.min((next - start) / 2, 5000) - this.offset) / 1e6;
  }

  /** Browsers do not report a frame that comes right after another report: ask for it again. */
  settle() {
    if (this.video.seeking || this.target < 0 || this.shown === this.target) return;
    if (this.tries >= 3) return; // a damaged video lacks frames
    this.tries += 1;
    this.sought = -1;
    this.seekPending();
  }

  watch() {
    const { video } = this;
    if (video.requestVideoFrameCallback) {
      const shown = (_, { mediaTime }) => {
        this.showMedia(mediaTime);
        video.requestVideoFrameCallback(shown);
      };
      video.requestVideoFrameCallback(shown);
    } else { // the picture may change up to a frame later
      const poll = () => {
        if (video.readyState >= 2) this.showMedia(video.currentTime);
        requestAnimationFrame(poll);
      };
      poll();
    }
  }

  /** Whether there is neither a video nor a poster: frames are but times, shown at once. */
  get alone() {
    return !this.video.hasAttribute("src") && !this.video.poster;
  }

  showMedia(mediaTime) {
    const time = mediaTime * 1e6 + this.offset;
    if (this.playing) {
      this.sought = this.target = -1;
      if (time >= this.end - this.rounding) this.video.pause(); // the rest was not explained
    }
    this.show(time);
  }

  show(time) {
    const frame = this.frameAt(time);
    if (frame === this.shown) return;
    this.shown = frame;
    this.onframe(frame);
  }
}
