// The canvas: the camera's image with the attribution map of the same frame laid over it.

import { contour, paint } from "./colours.js";

const FETCH_LIMIT_MS = 10000;

/// The values of a map, 0 to 255, from the PNG of a prediction.
async function decodeMask(base64) {
  const bytes = Uint8Array.from(atob(base64), (character) => character.charCodeAt(0));
  const bitmap = await createImageBitmap(new Blob([bytes], { type: "image/png" }));
  const { width, height } = bitmap;
  const canvas = new OffscreenCanvas(width, height);
  const context = canvas.getContext("2d", { willReadFrequently: true });
  context.drawImage(bitmap, 0, 0);
  bitmap.close();
  const rgba = context.getImageData(0, 0, width, height).data;
  return { width, height, levels: Uint8Array.from({ length: width * height }, (_, index) => rgba[4 * index]) };
}

async function fetchImage(frame) {
  const address = new URL(`frame.jpg?n=${frame}`, import.meta.url);
  const response = await fetch(address, { signal: AbortSignal.timeout(FETCH_LIMIT_MS) });
  if (!response.ok) throw new Error(`the image cannot be loaded (${response.status})`);
  const bitmap = await createImageBitmap(await response.blob());
  return { bitmap, frame: Number(response.headers.get("x-frame")) };
}

export class LiveImage {
  #canvas;
  #settings;
  #drawn;
  #next = null;
  #busy = false;
  #shown = null;

  /// `settings()` returns how to draw; `drawn(prediction, frame)` is called for each image that was drawn.
  constructor(canvas, settings, drawn) {
    this.#canvas = canvas;
    this.#settings = settings;
    this.#drawn = drawn;
  }

  /// Shows a prediction as soon as its image is here. One image is loaded at a time; of the predictions that come
  /// meanwhile the newest is next, so that nothing piles up on a slow line.
  async show(prediction) {
    this.#next = prediction;
    if (this.#busy) return;
    this.#busy = true;
    while (this.#next) {
      const current = this.#next;
      this.#next = null;
      try {
        const image = fetchImage(current.record.frame);
        const mask = current.mask ? decodeMask(current.mask) : null;
        const [{ bitmap, frame }, map] = await Promise.all([image, mask]);
        this.#shown?.bitmap.close();
        this.#shown = { prediction: current, bitmap, map };
        this.draw();
        this.#drawn(current, frame);
      } catch (error) {
        // The next prediction tries again; whether the run is there at all is shown by its events.
        console.debug(error.message);
      }
    }
    this.#busy = false;
  }

  /// Draws the last image again, with the settings as they are now.
  draw() {
    if (!this.#shown) return;
    const { prediction, bitmap, map } = this.#shown;
    const canvas = this.#canvas;
    if (canvas.width !== bitmap.width || canvas.height !== bitmap.height) {
      [canvas.width, canvas.height] = [bitmap.width, bitmap.height];
    }
    const context = canvas.getContext("2d");
    context.drawImage(bitmap, 0, 0);
    const region = this.#region(prediction, bitmap);
    const settings = this.#settings();
    if (settings.dim) this.#darkenOutside(context, region);
    if (map) {
      this.#layMap(context, region, map, settings);
      if (settings.contour) this.#drawContour(context, region, map, settings.threshold);
    }
  }

  /// The image as it is drawn, with a line of text below it, as a JPEG blob; null before the first image.
  async snapshot(text) {
    if (!this.#shown) return null;
    const { width, height } = this.#canvas;
    const line = Math.max(22, Math.round(height / 20));
    const copy = new OffscreenCanvas(width, height + line);
    const context = copy.getContext("2d");
    context.fillStyle = "#14181d";
    context.fillRect(0, height, width, line);
    context.drawImage(this.#canvas, 0, 0);
    context.fillStyle = "#ffffff";
    context.font = `${Math.round(0.62 * line)}px system-ui, sans-serif`;
    context.textBaseline = "middle";
    context.fillText(text, 0.4 * line, height + line / 2, width - 0.8 * line);
    return copy.convertToBlob({ type: "image/jpeg", quality: 0.92 });
  }

  /// What the model saw, in pixels of the bitmap: an image with an orientation is turned by the browser.
  #region({ region, size }, bitmap) {
    const [x, y, width, height] = region;
    const [across, down] = [bitmap.width / size[0], bitmap.height / size[1]];
    return { x: x * across, y: y * down, width: width * across, height: height * down };
  }

  #darkenOutside(context, { x, y, width, height }) {
    const outside = new Path2D();
    outside.rect(0, 0, context.canvas.width, context.canvas.height);
    outside.rect(x, y, width, height);
    context.fillStyle = "rgb(0 0 0 / 67%)";
    context.fill(outside, "evenodd");
  }

  #layMap(context, region, map, { scale, opacity, dim }) {
    const small = new OffscreenCanvas(map.width, map.height);
    small.getContext("2d").putImageData(new ImageData(paint(map.levels, scale, opacity, dim), map.width, map.height), 0, 0);
    context.imageSmoothingEnabled = true;
    context.drawImage(small, region.x, region.y, region.width, region.height);
  }

  #drawContour(context, region, map, threshold) {
    const [across, down] = [region.width / map.width, region.height / map.height];
    const path = new Path2D();
    for (const [x0, y0, x1, y1] of contour(map.levels, map.width, map.height, threshold)) {
      path.moveTo(region.x + x0 * across, region.y + y0 * down);
      path.lineTo(region.x + x1 * across, region.y + y1 * down);
    }
    const width = Math.max(1, context.canvas.width / 400);
    context.lineCap = "round";
    // A light line on a dark one can be seen on every image.
    for (const [colour, wide] of [["rgb(0 0 0 / 60%)", 2.5 * width], ["#ffffff", width]]) {
      context.strokeStyle = colour;
      context.lineWidth = wide;
      context.stroke(path);
    }
  }
}
