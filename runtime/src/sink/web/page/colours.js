// Colour scales for maps: 256 colours each, from a few anchors.

const ANCHORS = {
  viridis: "440154 482878 3e4989 31688e 26828e 1f9e89 35b779 6ece58 b5de2b fde725",
  turbo: "30123b 4145ab 4675ed 39a2fc 1bcfd4 24eca6 61fc6c a4fc3b d1e834 f3c63a fe9b2d f36315 d93806 b11901 7a0402",
  magma: "000004 180f3d 440f76 721f81 9e2f7f cd4071 f1605d fd9668 feca8d fcfdbf",
  grey: "000000 ffffff",
};

function table(text) {
  const anchors = text.split(" ").map((hex) => [0, 2, 4].map((at) => parseInt(hex.slice(at, at + 2), 16)));
  return Array.from({ length: 256 }, (_, level) => {
    const place = (level / 255) * (anchors.length - 1);
    const below = Math.min(Math.floor(place), anchors.length - 2);
    const share = place - below;
    return anchors[below].map((value, channel) => Math.round(value + share * (anchors[below + 1][channel] - value)));
  });
}

const TABLES = new Map(Object.entries(ANCHORS).map(([name, text]) => [name, table(text)]));

/// How much light is taken from where the map is 0, as in the overlays that the program writes.
const DIMMING = 0.65;

/// RGBA bytes of a map, to be drawn over an image. A colour scale tints in proportion to the map, so that the image stays
/// recognisable; `dim` takes light from where the map is low. `hide` blackens what the map leaves out.
export function paint(levels, scale, opacity, dim) {
  const rgba = new Uint8ClampedArray(4 * levels.length);
  const colours = TABLES.get(scale);
  levels.forEach((level, index) => {
    const at = 4 * index;
    if (!colours) {
      rgba[at + 3] = 255 - level;
      return;
    }
    const tint = (opacity * level) / 255;
    const dark = dim ? DIMMING * (1 - level / 255) : 0;
    // One layer that does what two would: first the light is taken, then the colour is added.
    const cover = 1 - (1 - tint) * (1 - dark);
    const part = cover > 0 ? tint / cover : 0;
    colours[level].forEach((value, channel) => (rgba[at + channel] = value * part));
    rgba[at + 3] = 255 * cover;
  });
  return rgba;
}

/// Line segments `[x0, y0, x1, y1]` where the map passes the threshold, in units of its pixels (marching squares).
export function contour(levels, width, height, threshold) {
  const edge = 255 * threshold;
  const between = (a, b) => (edge - a) / (b - a);
  const lines = [];
  for (let y = 0; y + 1 < height; y++) {
    for (let x = 0; x + 1 < width; x++) {
      const at = y * width + x;
      const [a, b, c, d] = [levels[at], levels[at + 1], levels[at + width + 1], levels[at + width]];
      const inside = (a >= edge) + (b >= edge) + (c >= edge) + (d >= edge);
      if (inside === 0 || inside === 4) continue;
      const crossings = [];
      // Values stand in the middle of pixels.
      if ((a >= edge) !== (b >= edge)) crossings.push([x + 0.5 + between(a, b), y + 0.5]);
      if ((b >= edge) !== (c >= edge)) crossings.push([x + 1.5, y + 0.5 + between(b, c)]);
      if ((d >= edge) !== (c >= edge)) crossings.push([x + 0.5 + between(d, c), y + 1.5]);
      if ((a >= edge) !== (d >= edge)) crossings.push([x + 0.5, y + 0.5 + between(a, d)]);
      for (let pair = 0; pair + 1 < crossings.length; pair += 2) {
        lines.push([...crossings[pair], ...crossings[pair + 1]]);
      }
    }
  }
  return lines;
}
