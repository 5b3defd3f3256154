"use strict";

/** Arrays of the page by name: the block with that id is base64 of zlib. */
async function unpack(block, table) {
  const packed = Uint8Array.from(atob(block.textContent), (c) => c.charCodeAt(0));
  const stream = new Blob([packed]).stream().pipeThrough(new DecompressionStream("deflate"));
  const bytes = await new Response(stream).arrayBuffer();
  const types = {
    int32: Int32Array, float32: Float32Array, uint16: Uint16Array, uint8: Uint8Array,
  };
  const arrays = {};
  let at = 0;
  for (const [name, type, length] of table) {
    arrays[name] = new types[type](bytes, at, length);
    at += arrays[name].byteLength;
  }
  return arrays;
}

/** Times in microseconds from steps and a start. */
function accumulated(steps, start) {
  const times = new Float64Array(steps.length);
  let time = start;
  for (let i = 0; i < steps.length; i++) times[i] = time += steps[i];
  return times;
}

/** First position in increasing times at or after a time. */
function lowerBound(times, time) {
  let low = 0, high = times.length;
  while (low < high) {
    const middle = (low + high) >> 1;
    if (times[middle] < time) low = middle + 1;
    else high = middle;
  }
  return low;
}

/** Levels 0 to 1 at any time, as those of annotated.mp4: see staa_cli/render/heat.py. */
class HeatField {
  constructor(method, number, arrays, start) {
    this.maps = arrays[`maps_${number}`];
    this.tops = arrays[`top_${number}`];
    this.ceilings = (scale) => arrays[`ceiling_${scale}_${number}`];
    this.times = accumulated(arrays[`knot_us_${number}`], start);
    this.spans = method.spans.map((span) => span.map((s) => Math.round(s * 1e6)));
    [this.rows, this.columns] = method.grid;
    this.levels = new Float32Array(this.rows * this.columns);
  }

  /** Levels [rows * columns], valid until the next call; null where no clip reaches. */
  at(time, scale) {
    const span = this.spans.find(([start, stop]) => start <= time && time < stop);
    if (!span) return null;
    const first = lowerBound(this.times, span[0]), last = lowerBound(this.times, span[1]);
    const after = lowerBound(this.times, time);
    this.levels.fill(0);
    if (after === first || after === last) {
      this.add(first < last ? Math.min(after, last - 1) : this.nearest(time), 1, scale);
    } else {
      const start = this.times[after - 1];
      const part = (time - start) / (this.times[after] - start);
      this.add(after - 1, 1 - part, scale);
      this.add(after, part, scale);
    }
    return this.levels;
  }

  nearest(time) {
    const after = lowerBound(this.times, time);
    if (after === 0) return 0;
    const isNext = after < this.times.length
      && this.times[after] - time < time - this.times[after - 1];
    return isNext ? after : after - 1;
  }

  add(knot, weight, scale) {
    const size = this.levels.length, ceiling = this.ceilings(scale)[knot];
    const factor = this.tops[knot] / 255 / (ceiling > 0 ? ceiling : 1);
    for (let i = 0; i < size; i++) {
      this.levels[i] += weight * Math.min(1, factor * this.maps[knot * size + i]);
    }
  }
}

/**
 * Draws levels over the part of the picture that the model saw, in two layers: one replaces the hue
 * of the picture, and above it one covers a part of its contrast.
 */
class HeatPainter {
  static FULL_OPACITY = 0.45; // level from which the heat has full opacity

  constructor(hue, glow) {
    this.layers = [hue, glow].map((canvas) => ({
      canvas, context: canvas.getContext("2d"), table: new Uint32Array(256),
    }));
  }

  /** The grid of the maps; the canvas has some pixels for each cell, the browser scales it. */
  resize(rows, columns) {
    const times = Math.max(4, Math.min(24, Math.round(256 / Math.max(rows, columns))));
    this.height = rows * times;
    this.width = columns * times;
    this.down = cubicTaps(this.height, rows);
    this.across = cubicTaps(this.width, columns);
    this.wide = new Float32Array(rows * this.width);
    for (const layer of this.layers) {
      Object.assign(layer.canvas, { width: this.width, height: this.height });
      layer.image = layer.context.createImageData(this.width, this.height);
      layer.pixels = new Uint32Array(layer.image.data.buffer);
    }
  }

  /**
   * Colors of the levels, as those of annotated.mp4 (tint_tables); what is below a threshold is
   * transparent. Of the contrast of the picture, `keep` remains, and of its hue the fourth power.
   * The zero of signed levels is in the middle.
   */
  setLook(colors, opacity, threshold, signed) {
    const [hue, glow] = this.layers.map((layer) => new Uint8ClampedArray(layer.table.buffer));
    for (let i = 0; i < 256; i++) {
      const level = signed ? Math.abs(2 * i - 255) / 255 : i / 255;
      const ramp = Math.min(1, level / HeatPainter.FULL_OPACITY);
      const alpha = level < threshold ? 0 : opacity * ramp * ramp * (3 - 2 * ramp);
      const [r, g, b] = colors.subarray(3 * i, 3 * i + 3);
      // Where the picture shines through, the color's brightness keeps away from black and white
      // by as much: yellow over black is yellow, not olive.
      const keep = 1 - alpha, half = 127.5 * keep;
      const luma = 0.2126 * r + 0.7152 * g + 0.0722 * b;
      const middle = Math.max(half, Math.min(255 - half, luma));
      const shift = alpha > 0 ? (middle - half) / alpha - luma : 0;
      glow.set([r + shift, g + shift, b + shift, 255 * alpha], 4 * i);
      hue.set([r, g, b, 255 * (1 - keep ** 3)], 4 * i);
    }
  }

  draw(levels) {
    const { width, height } = this, columns = this.across.cells, rows = this.down.cells;
    for (let row = 0; row < rows; row++) {
      for (let x = 0; x < width; x++) {
        let sum = 0;
        for (let tap = 4 * x; tap < 4 * x + 4; tap++) {
          sum += this.across.weights[tap] * levels[row * columns + this.across.places[tap]];
        }
        this.wide[row * width + x] = sum;
      }
    }
    const [hue, glow] = this.layers;
    for (let y = 0; y < height; y++) {
      const [a, b, c, d] = this.down.weights.subarray(4 * y, 4 * y + 4);
      const [i, j, k, l] = this.down.places.subarray(4 * y, 4 * y + 4).map((row) => row * width);
      for (let x = 0; x < width; x++) {
        const level = a * this.wide[i + x] + b * this.wide[j + x]
          + c * this.wide[k + x] + d * this.wide[l + x];
        const index = Math.max(0, Math.min(255, 255 * level + 0.5)) | 0;
        hue.pixels[y * width + x] = hue.table[index];
        glow.pixels[y * width + x] = glow.table[index];
      }
    }
    for (const layer of this.layers) layer.context.putImageData(layer.image, 0, 0);
  }
}

/** Cells and weights of cubic interpolation (Catmull and Rom 1974), four for each pixel. */
function cubicTaps(pixels, cells) {
  const places = new Int32Array(4 * pixels), weights = new Float32Array(4 * pixels);
  for (let pixel = 0; pixel < pixels; pixel++) {
    const position = (pixel + 0.5) * cells / pixels - 0.5;
    const first = Math.floor(position), t = position - first;
    weights.set([
      ((-0.5 * t + 1) * t - 0.5) * t,
      (1.5 * t - 2.5) * t * t + 1,
      ((-1.5 * t + 2) * t + 0.5) * t,
      (0.5 * t - 0.5) * t * t,
    ], 4 * pixel);
    for (let tap = 0; tap < 4; tap++) {
      places[4 * pixel + tap] = Math.max(0, Math.min(cells - 1, first + tap - 1));
    }
  }
  return { places, weights, cells };
}
