// The photo, with the unit's box, the projection laid over it, and a click for the units that see a position.
// Needs dom.js.

class Photo {
  #overlays = new Map();
  #cross = null;
  #size = [1, 1];
  #turn = 0;

  constructor(whenAsked) {
    this.whenAsked = whenAsked; // called with the row and column of a pixel of the network's input
    $("lay").addEventListener("input", () => this.#fade());
    $("stage").addEventListener("click", (event) => {
      const frame = $("stage").getBoundingClientRect(), [height, width] = this.#size;
      this.#ask(((event.clientY - frame.top) / frame.height) * height, ((event.clientX - frame.left) / frame.width) * width);
    });
    $("stage").addEventListener("keydown", (event) => this.#move(event));
  }

  // `shown` is a unit or a class: its box and its picture; `part` says whether it is less than the whole.
  async show(photo, shown, part, words) {
    const turn = ++this.#turn, [height, width] = (this.#size = photo.input_size);
    $("photo").src = webp(photo.image);
    $("photo").alt = `what the network sees of ${photo.name}`;
    $("stage").setAttribute("aria-label", `${photo.name}: click, or move with the arrow keys and press Enter, for the units that see a position`);
    place($("box"), shown.box, height, width);
    place($("laid"), shown.box, height, width);
    $("box").hidden = !part;
    $("outline").hidden = $("outline-words").hidden = !shown.outline;
    if (shown.outline) place($("outline"), shown.outline, height, width);
    $("laid").alt = `${words}, laid over the photo`;
    this.#fade();
    const overlay = await this.#overlay(shown.picture);
    if (turn === this.#turn) $("laid").src = overlay;
  }

  // Marks the position that units were asked for; null takes the mark away.
  mark(position) {
    this.#cross = position;
    $("cross").hidden = position === null;
    if (position !== null) place($("cross"), [position[0], position[1], position[0] + 1, position[1] + 1], ...this.#size);
  }

  #fade() {
    const share = $("lay").value / 100;
    $("laid").style.opacity = share;
    $("photo").style.filter = `grayscale(${share}) brightness(${1 - 0.35 * share})`;
    $("lay").setAttribute("aria-valuetext", `${$("lay").value} %`);
  }

  #ask(row, column) {
    const inside = (x, length) => Math.min(Math.max(Math.floor(x), 0), length - 1);
    this.whenAsked(inside(row, this.#size[0]), inside(column, this.#size[1]));
  }

  #move(event) {
    const moves = { ArrowUp: [-1, 0], ArrowDown: [1, 0], ArrowLeft: [0, -1], ArrowRight: [0, 1], Enter: [0, 0], " ": [0, 0] };
    if (!(event.key in moves)) return;
    event.preventDefault();
    const [height, width] = this.#size, step = Math.max(1, Math.round(Math.max(height, width) / 32));
    const [row, column] = this.#cross ?? [height / 2, width / 2], [down, right] = moves[event.key];
    if (event.key === "Enter" || event.key === " ") return this.#ask(row, column);
    const bounded = (x, length) => Math.min(Math.max(x, 0), length - 1);
    this.mark([bounded(row + down * step, height), bounded(column + right * step, width)]);
  }

  async #overlay(data) {
    if (!this.#overlays.has(data)) {
      if (this.#overlays.size > 50) this.#overlays.clear();
      this.#overlays.set(data, await overlayOf(webp(data)));
    }
    return this.#overlays.get(data);
  }
}

// A signed picture without its greys: transparent where the signal is zero, so that the photo stays seen there.
async function overlayOf(source) {
  const image = new Image();
  image.src = source;
  await image.decode();
  const { naturalWidth: width, naturalHeight: height } = image;
  const canvas = element("canvas"), pen = canvas.getContext("2d", { willReadFrequently: true });
  Object.assign(canvas, { width, height });
  pen.drawImage(image, 0, 0);
  const pixels = pen.getImageData(0, 0, width, height), { data } = pixels;
  const strength = (i) => Math.max(...[0, 1, 2].map((c) => Math.abs(data[4 * i + c] - 128))) / 127;
  const alphas = blurred(Float32Array.from({ length: width * height }, (_, i) => strength(i)), width, height);
  alphas.forEach((alpha, i) => (data[4 * i + 3] = 255 * Math.min(1, Math.max(0, (alpha - 0.06) / 0.3))));
  pen.putImageData(pixels, 0, 0);
  return canvas.toDataURL();
}

// Means of a square around each pixel, so that a stroke is laid over the photo whole and not in dots.
function blurred(values, width, height) {
  const reach = Math.round(Math.max(width, height) / 60);
  const along = (from, count, stride, lines, step) => {
    const to = new Float32Array(from.length);
    for (let line = 0; line < lines; line++) {
      for (let i = 0; i < count; i++) {
        const low = Math.max(0, i - reach), high = Math.min(count - 1, i + reach);
        let sum = 0;
        for (let j = low; j <= high; j++) sum += from[line * step + j * stride];
        to[line * step + i * stride] = sum / (high - low + 1);
      }
    }
    return to;
  };
  return along(along(values, width, 1, height, width), height, width, width, 1);
}
