"use strict";

/** Milliseconds since 1970 by the clock of this browser. */
const wallMs = () => performance.timeOrigin + performance.now();

/** How far the server's clock is ahead: of the shortest round trip, half is the way here. */
class ServerClock {
  constructor() {
    this.trips = [];
    this.ahead = null;
  }

  add(sent, server, received) {
    this.trips.push({ length: received - sent, ahead: server - (sent + received) / 2 });
    if (this.trips.length > 20) this.trips.shift();
    this.ahead = this.trips.reduce((a, b) => (b.length < a.length ? b : a)).ahead;
  }
}

/** Part of a message with a picture: see live/server/pictures.py. */
function readPicture(buffer) {
  const view = new DataView(buffer);
  return {
    isJpeg: view.getUint8(0) === 1,
    isKey: view.getUint8(1) === 1,
    number: view.getUint32(4, true),
    time: view.getFloat64(8, true),
    arrived: view.getFloat64(16, true),
    received: wallMs(),
    content: new Uint8Array(buffer, 24),
  };
}

/** The codec of a key frame by the sequence parameters in it; null if there are none. */
function codecOf(content) {
  for (let i = 0; i + 6 < content.length; i++) {
    if (content[i] || content[i + 1] || content[i + 2] !== 1 || (content[i + 3] & 31) !== 7) continue;
    const hex = (byte) => byte.toString(16).padStart(2, "0");
    return `avc1.${[...content.subarray(i + 4, i + 7)].map(hex).join("")}`;
  }
  return null;
}

/** Shows pictures as they come, without a buffer; late ones are left out. */
class Screen {
  static WAITING = 4; // pictures that the decoder may have before some are left out

  constructor(canvas, onshown, onfail) {
    this.canvas = canvas;
    this.context = canvas.getContext("2d", { alpha: false });
    this.onshown = onshown;
    this.onfail = onfail;
    this.late = 0;
    this.reset();
  }

  /** Whether this browser decodes H.264 frame by frame. */
  static async decodesH264() {
    if (typeof VideoDecoder === "undefined") return false;
    const wanted = { codec: "avc1.42C01E", optimizeForLatency: true };
    return VideoDecoder.isConfigSupported(wanted).then((found) => found.supported, () => false);
  }

  reset() {
    if (this.decoder && this.decoder.state !== "closed") this.decoder.close();
    this.decoder = null;
    this.codec = null;
    this.needsKey = true;
    this.underWay = new Map();
    this.next = null;
  }

  take(picture) {
    if (picture.isJpeg) this.takeJpeg(picture);
    else this.takeH264(picture);
  }

  takeH264(picture) {
    if (this.decoder && this.decoder.decodeQueueSize > Screen.WAITING) this.needsKey = true;
    if (this.needsKey && !picture.isKey) {
      this.late += 1;
      return;
    }
    if (picture.isKey) this.configure(codecOf(picture.content));
    this.needsKey = false;
    const { number, isKey, content } = picture;
    this.underWay.set(number, picture);
    this.decoder.decode(new EncodedVideoChunk({
      type: isKey ? "key" : "delta", timestamp: number, data: content,
    }));
  }

  configure(codec) {
    if (!codec || codec === this.codec && this.decoder.state === "configured") return;
    this.reset();
    this.codec = codec;
    const decoder = new VideoDecoder({
      output: (frame) => {
        const picture = this.underWay.get(frame.timestamp);
        for (const number of this.underWay.keys()) {
          if (number <= frame.timestamp) this.underWay.delete(number);
        }
        if (picture) this.draw(frame, frame.displayWidth, frame.displayHeight, picture);
        frame.close();
      },
      error: () => {
        if (decoder !== this.decoder) return;
        this.reset();
        this.onfail();
      },
    });
    decoder.configure({ codec, optimizeForLatency: true });
    this.decoder = decoder;
  }

  /** One picture is decoded at a time; of those that come meanwhile, the last one is next. */
  async takeJpeg(picture) {
    if (this.next) this.late += 1;
    this.next = picture;
    if (this.isDecoding) return;
    this.isDecoding = true;
    while (this.next) {
      const current = this.next;
      this.next = null;
      try {
        const bitmap = await createImageBitmap(new Blob([current.content], { type: "image/jpeg" }));
        this.draw(bitmap, bitmap.width, bitmap.height, current);
        bitmap.close();
      } catch { /* a picture that does not decode is left out */ }
    }
    this.isDecoding = false;
  }

  draw(image, width, height, picture) {
    const { canvas } = this;
    if (canvas.width !== width || canvas.height !== height) {
      Object.assign(canvas, { width, height });
      canvas.parentElement.style.setProperty("--ratio", width / height);
    }
    this.context.drawImage(image, 0, 0, width, height);
    if (this.drawn) this.late += 1; // replaced before it was on the screen
    else requestAnimationFrame(() => this.present());
    this.drawn = picture;
  }

  present() {
    const picture = this.drawn;
    this.drawn = null;
    this.onshown(picture, wallMs());
  }
}
