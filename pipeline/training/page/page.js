// Applies a trained model to a photo, in the browser. It does what `bokehflow translate` does: a lens is planned on a
// small picture and spreads light on a larger one; what stays sharp is the photo's own pixels. Pictures are planes of
// floats; those of bytes hold whole numbers from 0 to 255, so that sizes change as Pillow and OpenCV change them.

const settings = JSON.parse(document.getElementById("settings").textContent);
const element = (id) => document.getElementById(id);
const LEVELS = 5, EMPTY = 1e-3, HELD_LOGIT = 8, LEVEL_LIMIT = 4, NOT_HELD = 0.1, SURELY_HELD = 0.4;
const CLIPPED_FROM = 0.9, HIGHLIGHT_GAIN = 10, PALEST_SHARE = 0.5, GRAIN = 2 / 255, POINT_GAIN = 2;
const MOST_PIXELS = 40e6;
/* A disc larger than this is spread on a picture so much smaller: what it leaves is smooth. */
const SPREAD_RADIUS_PX = 8;

// --- the parts of this file -----------------------------------------------------------------------------------------

async function part(name) {
  const text = element(`part-${name}`).textContent.trim();
  const packed = await fetch(`data:application/octet-stream;base64,${text}`);
  return new Uint8Array(await new Response(packed.body.pipeThrough(new DecompressionStream("gzip"))).arrayBuffer());
}

async function loadRuntime() {
  const source = new Blob([await part("ort")], { type: "text/javascript" });
  const ort = await import(URL.createObjectURL(source));
  ort.env.wasm.numThreads = 1;
  ort.env.wasm.wasmBinary = (await part("wasm")).buffer;
  return ort;
}

class Network {
  static async load(ort, name) {
    const network = new Network();
    network.ort = ort;
    network.session = await ort.InferenceSession.create(await part(name), { executionProviders: ["wasm"] });
    return network;
  }

  /* Channels of the first output, each a plane; `planes` are the channels of the input. */
  async run(planes) {
    const { width, height } = planes[0];
    const data = new Float32Array(planes.length * width * height);
    planes.forEach((plane, channel) => data.set(plane.data, channel * width * height));
    const input = new this.ort.Tensor("float32", data, [1, planes.length, height, width]);
    const output = (await this.session.run({ [this.session.inputNames[0]]: input }))[this.session.outputNames[0]];
    const [, channels, rows, columns] = output.dims;
    const found = [];
    for (let channel = 0; channel < channels; channel++) {
      const start = channel * rows * columns;
      found.push({ width: columns, height: rows, data: output.data.slice(start, start + rows * columns) });
    }
    return found;
  }
}

// --- planes ---------------------------------------------------------------------------------------------------------

const plane = (width, height) => ({ width, height, data: new Float32Array(width * height) });

function mapped(source, change) {
  const made = plane(source.width, source.height);
  for (let i = 0; i < made.data.length; i++) made.data[i] = change(source.data[i]);
  return made;
}

const byte = (value) => Math.min(255, Math.max(0, Math.round(value)));
const triangle = (x) => Math.max(0, 1 - Math.abs(x));
const sinc = (x) => (x === 0 ? 1 : Math.sin(Math.PI * x) / (Math.PI * x));
const lanczos = (x) => (Math.abs(x) < 3 ? sinc(x) * sinc(x / 3) : 0);

/* For each of `target` pixels: the first source pixel and the weights of those from there on. */
const WAYS = {
  lanczos: (length, target) => filtered(length, target, lanczos, 3),
  bilinear: (length, target) => filtered(length, target, triangle, 1),
  area(length, target) {
    const scale = length / target;
    return Array.from({ length: target }, (_, at) => {
      const first = Math.floor(at * scale + 1e-6), end = Math.min(length, Math.ceil((at + 1) * scale - 1e-6));
      const weights = [];
      for (let i = first; i < end; i++) weights.push((Math.min(i + 1, (at + 1) * scale) - Math.max(i, at * scale)) / scale);
      return { first, weights };
    });
  },
  linear(length, target) {
    return Array.from({ length: target }, (_, at) => {
      const place = Math.min(length - 1, Math.max(0, ((at + 0.5) * length) / target - 0.5));
      const first = Math.min(Math.floor(place), Math.max(0, length - 2));
      return { first, weights: length > 1 ? [1 - (place - first), place - first] : [1] };
    });
  },
};

function filtered(length, target, kernel, reach) {
  const scale = length / target, wide = Math.max(1, scale), support = reach * wide;
  return Array.from({ length: target }, (_, at) => {
    const centre = (at + 0.5) * scale;
    const first = Math.max(0, Math.floor(centre - support + 0.5)), end = Math.min(length, Math.floor(centre + support + 0.5));
    const weights = [];
    for (let i = first; i < end; i++) weights.push(kernel((i - centre + 0.5) / wide));
    const sum = weights.reduce((a, b) => a + b, 0);
    return { first, weights: weights.map((weight) => weight / sum) };
  });
}

/* At another size; `round` is applied after each direction, as Pillow does with bytes. */
function resized(source, width, height, way, round = (value) => value) {
  if (width === source.width && height === source.height) return source;
  const across = WAYS[way](source.width, width), down = WAYS[way](source.height, height);
  const middle = plane(width, source.height), made = plane(width, height);
  for (let y = 0; y < source.height; y++) {
    for (let x = 0; x < width; x++) {
      const { first, weights } = across[x];
      let sum = 0;
      for (let i = 0; i < weights.length; i++) sum += weights[i] * source.data[y * source.width + first + i];
      middle.data[y * width + x] = round(sum);
    }
  }
  for (let y = 0; y < height; y++) {
    const { first, weights } = down[y];
    const row = made.data.subarray(y * width, (y + 1) * width);
    for (let i = 0; i < weights.length; i++) {
      const weight = weights[i], start = (first + i) * width;
      for (let x = 0; x < width; x++) row[x] += weight * middle.data[start + x];
    }
    for (let x = 0; x < width; x++) row[x] = round(row[x]);
  }
  return made;
}

/* Reflected at the lower and right border until the sides are multiples of the stride. */
function padded(source, stride) {
  const { width, height } = source;
  const made = plane(Math.ceil(width / stride) * stride, Math.ceil(height / stride) * stride);
  const back = (at, length) => (at < length ? at : length >= stride ? 2 * length - 2 - at : length - 1);
  for (let y = 0; y < made.height; y++)
    for (let x = 0; x < made.width; x++)
      made.data[y * made.width + x] = source.data[back(y, height) * width + back(x, width)];
  return made;
}

function cropped(source, width, height) {
  const made = plane(width, height);
  for (let y = 0; y < height; y++)
    made.data.set(source.data.subarray(y * source.width, y * source.width + width), y * width);
  return made;
}

const linear = (unit) => (unit <= 0.04045 ? Math.max(0, unit) / 12.92 : ((unit + 0.055) / 1.055) ** 2.4);
const LIGHT = Float32Array.from({ length: 256 }, (_, value) => linear(value / 255));
function srgb(light) {
  light = Math.min(1, Math.max(0, light));
  return light <= 0.0031308 ? light * 12.92 : 1.055 * light ** (1 / 2.4) - 0.055;
}

function planesOf(image) {
  const planes = [0, 1, 2].map(() => plane(image.width, image.height));
  for (let i = 0; i < image.width * image.height; i++)
    for (let channel = 0; channel < 3; channel++) planes[channel].data[i] = image.data[4 * i + channel];
  return planes;
}

// --- the subject ----------------------------------------------------------------------------------------------------

/* Alpha 0 to 255 at the photo's size: what stands out of it, its edge found again in the photo. */
async function salientAlpha(network, photo) {
  const { side, mean, std } = settings.salient;
  const small = photo.map((one) => resized(one, side, side, "bilinear", byte));
  const [opacity] = await network.run(small.map((one, channel) => mapped(one, (value) => (value / 255 - mean[channel]) / std[channel])));
  return guided(photo, opacity);
}

/* The fast guided filter (He and Sun 2015, arXiv:1505.00996) with the photo's grey as guide. */
function guided(photo, opacity) {
  const { width, height } = photo[0];
  const grey = plane(width, height);
  for (let i = 0; i < grey.data.length; i++)
    grey.data[i] = (0.299 * photo[0].data[i] + 0.587 * photo[1].data[i] + 0.114 * photo[2].data[i]) / 255;
  const scale = Math.min(1, 512 / Math.max(width, height));
  const rows = Math.max(1, Math.round(height * scale)), columns = Math.max(1, Math.round(width * scale));
  const guide = resized(grey, columns, rows, "area"), wanted = resized(opacity, columns, rows, "linear");
  const product = (one, other) => {
    const made = plane(columns, rows);
    for (let i = 0; i < made.data.length; i++) made.data[i] = one.data[i] * other.data[i];
    return made;
  };
  const radius = 6;
  const meanGuide = boxed(guide, radius), meanWanted = boxed(wanted, radius);
  const both = boxed(product(guide, wanted), radius), square = boxed(product(guide, guide), radius);
  const slope = plane(columns, rows), offset = plane(columns, rows);
  for (let i = 0; i < slope.data.length; i++) {
    const m = meanGuide.data[i];
    slope.data[i] = (both.data[i] - m * meanWanted.data[i]) / (square.data[i] - m * m + 1e-4);
    offset.data[i] = meanWanted.data[i] - slope.data[i] * m;
  }
  const a = resized(boxed(slope, radius), width, height, "linear"), b = resized(boxed(offset, radius), width, height, "linear");
  for (let i = 0; i < grey.data.length; i++) grey.data[i] = byte(255 * (a.data[i] * grey.data[i] + b.data[i]));
  return grey;
}

/* Means over squares that reach so far to each side, as far as there is a picture. */
function boxed(source, radius) {
  const { width, height } = source;
  const sums = new Float64Array((width + 1) * (height + 1));
  for (let y = 0; y < height; y++) {
    let row = 0;
    for (let x = 0; x < width; x++) {
      row += source.data[y * width + x];
      sums[(y + 1) * (width + 1) + x + 1] = sums[y * (width + 1) + x + 1] + row;
    }
  }
  const made = plane(width, height);
  for (let y = 0; y < height; y++) {
    const top = Math.max(0, y - radius), bottom = Math.min(height, y + radius + 1);
    for (let x = 0; x < width; x++) {
      const left = Math.max(0, x - radius), right = Math.min(width, x + radius + 1);
      const sum = sums[bottom * (width + 1) + right] - sums[top * (width + 1) + right] - sums[bottom * (width + 1) + left] + sums[top * (width + 1) + left];
      made.data[y * width + x] = sum / ((bottom - top) * (right - left));
    }
  }
  return made;
}

// --- the lens -------------------------------------------------------------------------------------------------------

/* A disc of even light: for each row the run of whole pixels and the single ones of its edge, which all sum to 1. */
function disc(radius) {
  const reach = Math.floor(radius + 0.5), samples = 8, rows = [];
  let sum = 0;
  for (let dy = -reach; dy <= reach; dy++) {
    const row = { dy, whole: 0, first: 1, last: 0, edge: [] };
    for (let dx = -reach; dx <= reach; dx++) {
      let inside = 0;
      for (let j = 0; j < samples; j++)
        for (let i = 0; i < samples; i++) {
          const x = dx - 0.5 + (i + 0.5) / samples, y = dy - 0.5 + (j + 0.5) / samples;
          if (x * x + y * y <= radius * radius) inside++;
        }
      const coverage = inside / (samples * samples);
      sum += coverage;
      if (coverage === 1) {
        if (row.whole++ === 0) row.first = dx;
        row.last = dx;
      } else if (coverage > 0) row.edge.push([dx, coverage]);
    }
    rows.push(row);
  }
  return { reach, rows, sum };
}

/* Each pixel's light spread over the disc; nothing comes in from beyond the border. */
function spread(source, radius) {
  const { width, height } = source, { reach, rows, sum } = disc(radius);
  const made = plane(width, height), line = new Float32Array(width + 2 * reach), running = new Float64Array(width + 2 * reach + 1);
  for (let from = 0; from < height; from++) {
    line.set(source.data.subarray(from * width, (from + 1) * width), reach);
    for (let x = 0; x < line.length; x++) running[x + 1] = running[x] + line[x];
    for (const { dy, whole, first, last, edge } of rows) {
      const y = from + dy;
      if (y < 0 || y >= height) continue;
      const out = made.data.subarray(y * width, (y + 1) * width);
      if (whole) for (let x = 0; x < width; x++) out[x] += running[x + reach + last + 1] - running[x + reach + first];
      for (const [dx, coverage] of edge) for (let x = 0; x < width; x++) out[x] += coverage * line[x + reach + dx];
    }
  }
  for (let i = 0; i < made.data.length; i++) made.data[i] /= sum;
  return made;
}

function spreadSmaller(source, radius) {
  const factor = Math.max(1, radius / SPREAD_RADIUS_PX);
  const width = Math.max(1, Math.round(source.width / factor)), height = Math.max(1, Math.round(source.height / factor));
  return resized(spread(resized(source, width, height, "area"), (radius * width) / source.width), source.width, source.height, "linear");
}

/* The parts of a pixel's light that stay sharp, first, and go to each disc: `levels` are overwritten with them. */
function toShares(levels, held) {
  let largest = -Infinity, sum = 0;
  for (let k = 0; k <= LEVELS; k++) {
    if (settings.bounded) levels[k] = LEVEL_LIMIT * Math.tanh(levels[k] / LEVEL_LIMIT);
    if (k === 0 && settings.holds && !settings.single_disc) levels[0] += HELD_LOGIT * held;
    largest = Math.max(largest, levels[k]);
  }
  for (let k = 0; k <= LEVELS; k++) sum += levels[k] = Math.exp(levels[k] - largest);
  for (let k = 0; k <= LEVELS; k++) levels[k] /= sum;
  const stays = settings.holds ? Math.min(1, Math.max(0, (held - NOT_HELD) / (SURELY_HELD - NOT_HELD))) : 0;
  if (settings.single_disc) gather(levels, 1 - stays * stays * (3 - 2 * stays));
}

const SQUARES = settings.radii_px && [0, ...settings.radii_px].map((radius) => radius * radius);

/* Parts of light to the two neighbouring levels that blur as much; what is not `spread` stays sharp. */
function gather(shares, spread) {
  let mean = 0, level = 0;
  for (let k = 0; k <= LEVELS; k++) mean += SQUARES[k] * shares[k];
  for (let k = 0; k < LEVELS; k++) level += Math.min(1, Math.max(0, (mean - SQUARES[k]) / (SQUARES[k + 1] - SQUARES[k])));
  for (let k = 0; k <= LEVELS; k++) shares[k] = spread * Math.max(0, 1 - Math.abs(level - k));
  shares[0] += 1 - spread;
}

/* As much of a detail as may be a sensor's grain. */
const faint = (detail) => Math.min(GRAIN, Math.max(-GRAIN, detail));

/* A small picture in bytes to [0, 1], and its grain: that of each pixel against the mean of 3 by 3. */
function grainOf(small) {
  const { width, height } = small, unit = mapped(small, (value) => value / 255), grain = plane(width, height);
  for (let y = 0; y < height; y++)
    for (let x = 0; x < width; x++) {
      let sum = 0, count = 0;
      for (let v = Math.max(0, y - 1); v <= Math.min(height - 1, y + 1); v++)
        for (let u = Math.max(0, x - 1); u <= Math.min(width - 1, x + 1); u++, count++) sum += unit.data[v * width + u];
      grain.data[y * width + x] = faint(unit.data[y * width + x] - sum / count);
    }
  return [unit, grain];
}

const softplus = (x) => (x > 20 ? x : Math.log1p(Math.exp(x)));

const clippedShare = (rgb) => Math.min(1, Math.max(0, (Math.max(...rgb) - CLIPPED_FROM) / (1 - CLIPPED_FROM)));

/* How much more light than it could hold each channel of a clipped pixel had, at least 1. */
function highlight(rgb, gains) {
  const clipped = clippedShare(rgb);
  if (!settings.highlights || clipped === 0) return [1, 1, 1];
  const brighter = HIGHLIGHT_GAIN * softplus((gains[0] + gains[1] + gains[2]) / 3), most = Math.max(...gains);
  return gains.map((gain) => 1 + clipped * brighter * (PALEST_SHARE + ((1 - PALEST_SHARE) * 2) / (1 + Math.exp(most - gain))));
}

/* The mean of a plane's rows and columns, `reach` to each side of a pixel as far as there are any. */
function averaged(source, reach) {
  const { width, height } = source, across = plane(width, height), made = plane(width, height);
  const along = (from, to, length, lines, step, jump) => {
    for (let line = 0; line < lines; line++) {
      const sums = new Float64Array(length + 1);
      for (let i = 0; i < length; i++) sums[i + 1] = sums[i] + from[line * jump + i * step];
      for (let i = 0; i < length; i++) {
        const first = Math.max(0, i - reach), end = Math.min(length, i + reach + 1);
        to[line * jump + i * step] = (sums[end] - sums[first]) / (end - first);
      }
    }
  };
  along(source.data, across.data, width, height, 1, width);
  along(across.data, made.data, height, width, width, 1);
  return made;
}

/* What is seen of spread light, three planes in [0, 1]; `small` is the photo in bytes, `plan` of the same size. */
function soft(small, alpha, plan, radii) {
  const { width, height } = small[0], levels = new Float64Array(1 + LEVELS);
  const lit = Array.from({ length: LEVELS + 1 }, () => [0, 1, 2, 3].map(() => plane(width, height)));
  const lights = [0, 1, 2].map(() => plane(width, height)), brightest = plane(width, height), points = plane(width, height);
  for (let i = 0; i < width * height; i++) {
    const unit = small.map((one) => one.data[i] / 255), more = highlight(unit, [1, 2, 3].map((c) => plan[LEVELS + c].data[i]));
    for (let c = 0; c < 3; c++) lights[c].data[i] = LIGHT[small[c].data[i]] * more[c];
    brightest.data[i] = Math.max(...lights.map((one) => one.data[i]));
    points.data[i] = settings.opens_points ? clippedShare(unit) : 0;
  }
  const around = settings.opens_points ? averaged(brightest, Math.floor(Math.floor(radii[LEVELS - 1] + 0.5) / 2)) : brightest;
  for (let i = 0; i < width * height; i++) {
    for (let k = 0; k <= LEVELS; k++) levels[k] = plan[k].data[i];
    toShares(levels, alpha ? alpha.data[i] / 255 : 0);
    const gain = 1 + POINT_GAIN * points.data[i] * Math.max(0, 1 - around.data[i]) ** 2;
    for (let c = 0; c < 4; c++) {
      const light = c < 3 ? lights[c].data[i] * gain : 1;
      lit[0][c].data[i] = EMPTY * light;
      for (let k = 1; k <= LEVELS; k++) lit[k][c].data[i] = levels[k] * light;
    }
  }
  const total = lit[0];
  for (let k = 1; k <= LEVELS; k++)
    for (let c = 0; c < 4; c++) {
      const one = spreadSmaller(lit[k][c], radii[k - 1]);
      for (let i = 0; i < one.data.length; i++) total[c].data[i] += one.data[i];
    }
  return [0, 1, 2].map((c) => {
    const made = plane(width, height);
    for (let i = 0; i < made.data.length; i++) made.data[i] = srgb(total[c].data[i] / total[3].data[i]);
    return made;
  });
}

// --- a photo --------------------------------------------------------------------------------------------------------

const breathe = () => new Promise((done) => setTimeout(done));

class Photo {
  constructor(image) {
    this.image = image;
    this.planes = planesOf(image);
    this.width = image.width;
    this.height = image.height;
  }

  /* What does not depend on the strength: the plan of the lens and the subject. */
  async plan(networks) {
    const side = Math.min(this.width, this.height);
    this.growth = Math.max(1, side / settings.lens_side_px);
    const width = Math.max(1, Math.round(this.width / this.growth)), height = Math.max(1, Math.round(this.height / this.growth));
    const small = this.planes.map((one) => resized(one, width, height, "lanczos", byte));
    const input = small.map((one) => padded(mapped(one, (value) => value / 127.5 - 1), settings.stride_px));
    const found = (await networks.model.run(input)).map((one) => cropped(one, width, height));
    this.grains = settings.keeps_grain ? small.flatMap(grainOf) : [];
    this.levels = found.slice(0, 1 + LEVELS + 3);
    if (settings.finds) {
      const logits = resized(found[1 + LEVELS + 3], this.width, this.height, "linear");
      this.alpha = mapped(logits, (value) => Math.round(255 / (1 + Math.exp(-value))));
    } else if (settings.holds) this.alpha = await salientAlpha(networks.salient, this.planes);
  }

  /* The photo through the lens, its discs `strength` times those that it learnt; image data. */
  async blurred(strength) {
    if (strength === 0) return this.image;
    const shrink = Math.max(1, (this.growth * settings.smallest_radius_px) / settings.least_radius_px);
    const width = Math.max(1, Math.round(this.width / shrink)), height = Math.max(1, Math.round(this.height / shrink));
    const small = this.planes.map((one) => {
      if (shrink === 1) return one;
      return mapped(resized(mapped(one, (value) => LIGHT[value]), width, height, "area"), (light) => Math.round(srgb(light) * 255));
    });
    const alpha = this.alpha && resized(this.alpha, width, height, "area", byte);
    const plan = this.levels.map((one) => resized(one, width, height, "linear"));
    await breathe();
    const softened = soft(small, alpha, plan, settings.radii_px.map((radius) => (radius * strength * this.growth) / shrink));
    await breathe();
    return this.composed(softened);
  }

  composed(softened) {
    const { width, height } = this, made = new ImageData(width, height), levels = new Float64Array(1 + LEVELS);
    const grids = [...softened, ...this.levels.slice(0, 1 + LEVELS), ...this.grains], grains = 3 + 1 + LEVELS;
    const lines = grids.map((grid) => ({
      grid, across: WAYS.linear(grid.width, width), down: WAYS.linear(grid.height, height), row: new Float32Array(grid.width),
    }));
    const at = ({ row, across }, x) => {
      const { first, weights } = across[x];
      return weights.length === 1 ? row[first] : weights[0] * row[first] + weights[1] * row[first + 1];
    };
    for (let y = 0; y < height; y++) {
      for (const { grid, down, row } of lines) {
        const { first, weights } = down[y], low = weights.length > 1 ? weights[1] : 0;
        for (let x = 0; x < grid.width; x++) {
          const upper = grid.data[first * grid.width + x];
          row[x] = low ? weights[0] * upper + low * grid.data[(first + 1) * grid.width + x] : upper;
        }
      }
      for (let x = 0; x < width; x++) {
        const i = y * width + x;
        for (let k = 0; k <= LEVELS; k++) levels[k] = at(lines[3 + k], x);
        toShares(levels, this.alpha ? this.alpha.data[i] / 255 : 0);
        for (let c = 0; c < 3; c++) {
          const own = this.planes[c].data[i] / 255, spread = at(lines[c], x);
          const grain = settings.keeps_grain ? at(lines[grains + 2 * c + 1], x) + faint(own - at(lines[grains + 2 * c], x)) : 0;
          const behind = Math.min(1, Math.max(0, spread + grain));
          made.data[4 * i + c] = byte(255 * (behind + levels[0] * (own - behind)));
        }
        made.data[4 * i + 3] = 255;
      }
    }
    return made;
  }
}

/* A generator that paints by itself: the photo at the size that it was trained on. */
async function painted(networks, image) {
  const planes = planesOf(image), factor = Math.max(1, Math.min(image.width, image.height) / settings.size_px);
  const width = Math.max(1, Math.round(image.width / factor)), height = Math.max(1, Math.round(image.height / factor));
  const small = planes.map((one) => resized(one, width, height, "lanczos", byte));
  const input = small.map((one) => padded(mapped(one, (value) => value / 127.5 - 1), settings.stride_px));
  const output = (await networks.model.run(input)).map((one) => cropped(one, width, height));
  const made = new ImageData(width, height);
  for (let i = 0; i < width * height; i++) {
    for (let c = 0; c < 3; c++) made.data[4 * i + c] = byte((output[c].data[i] + 1) * 127.5);
    made.data[4 * i + 3] = 255;
  }
  return made;
}

// --- the page -------------------------------------------------------------------------------------------------------

const state = { networks: null, photo: null, original: null, result: null, name: "photo", job: 0, taken: 0 };
const canvas = element("result");
const say = (words) => { element("said").textContent = words; };

function show(image) {
  canvas.width = image.width;
  canvas.height = image.height;
  canvas.getContext("2d").putImageData(image, 0, 0);
  canvas.hidden = false;
}

async function imageOf(file) {
  let bitmap;
  try {
    bitmap = await createImageBitmap(file);
  } catch {
    throw new Error(`${file.name}: this browser cannot read it as a picture; take a JPEG, PNG or WebP`);
  }
  const scale = Math.min(1, Math.sqrt(MOST_PIXELS / (bitmap.width * bitmap.height)));
  const source = new OffscreenCanvas(Math.round(bitmap.width * scale), Math.round(bitmap.height * scale));
  if (Math.min(source.width, source.height) < settings.least_edge_px) {
    throw new Error(`${file.name}: too small, each side must have ${settings.least_edge_px} pixels`);
  }
  const context = source.getContext("2d", { willReadFrequently: true });
  context.fillStyle = "white";
  context.fillRect(0, 0, source.width, source.height);
  context.drawImage(bitmap, 0, 0, source.width, source.height);
  return context.getImageData(0, 0, source.width, source.height);
}

async function render() {
  const job = ++state.job, started = performance.now();
  document.body.dataset.state = "working";
  say("Working …");
  await breathe();
  const image = state.photo ? await state.photo.blurred(Number(element("strength").value) / 100) : state.result;
  if (job !== state.job) return;
  state.result = image;
  show(image);
  element("tools").hidden = false;
  say(`Done in ${((performance.now() - started) / 1000).toFixed(1)} s, ${image.width} × ${image.height} pixels.`);
  document.body.dataset.state = "done";
}

async function take(file) {
  if (!file) return;
  const taken = ++state.taken, isLate = () => taken !== state.taken; // another photo came meanwhile
  try {
    document.body.dataset.state = "working";
    say(`Looking at ${file.name} …`);
    const image = await imageOf(file);
    if (isLate()) return;
    state.name = file.name.replace(/\.[^.]*$/, "");
    state.original = image;
    show(image);
    await breathe();
    state.photo = null;
    if (settings.kind === "lens") {
      const photo = new Photo(image);
      await photo.plan(state.networks);
      if (isLate()) return;
      state.photo = photo;
    } else {
      const result = await painted(state.networks, image);
      if (isLate()) return;
      state.result = result;
    }
    await render();
  } catch (error) {
    if (isLate()) return;
    say(error.message);
    document.body.dataset.state = "failed";
  }
}

async function start() {
  const ort = await loadRuntime();
  state.networks = { model: await Network.load(ort, "model") };
  if (settings.salient) state.networks.salient = await Network.load(ort, "salient");
  element("blur").hidden = settings.kind !== "lens";
  say("Ready.");
  document.body.dataset.state = "ready";
}

const drop = element("drop");
element("file").addEventListener("change", (event) => ready.then(() => take(event.target.files[0])));
/* Anywhere on the page: beside the frame, a browser would leave the page for the photo. */
document.addEventListener("dragover", (event) => { event.preventDefault(); drop.classList.add("over"); });
document.addEventListener("dragleave", () => drop.classList.remove("over"));
document.addEventListener("drop", (event) => {
  event.preventDefault();
  drop.classList.remove("over");
  ready.then(() => take(event.dataTransfer.files[0]));
});
element("strength").addEventListener("input", (event) => { element("percent").textContent = `${event.target.value} %`; });
element("strength").addEventListener("change", () => state.photo && render());
const compare = element("compare");
for (const name of ["pointerdown", "keydown"]) compare.addEventListener(name, () => state.original && show(state.original));
for (const name of ["pointerup", "pointerleave", "keyup", "blur"]) compare.addEventListener(name, () => state.result && show(state.result));
element("save").addEventListener("click", () => {
  show(state.result);
  canvas.toBlob((blob) => {
    const link = document.createElement("a");
    link.href = URL.createObjectURL(blob);
    link.download = `${state.name}-${settings.name}.png`;
    link.click();
    setTimeout(() => URL.revokeObjectURL(link.href), 10_000);
  }, "image/png");
});
const ready = start().catch((error) => {
  say(`The network could not be loaded: ${error.message}`);
  document.body.dataset.state = "failed";
  throw error;
});
/* For tests, and for whoever looks into it. */
window.bokehflow = state;
