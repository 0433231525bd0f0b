// Parts of the photo hidden with a brush, and how the classes change. Needs words.js and dom.js.

class Brush {
  #dabs = [];
  #cursor = null;
  #size = [1, 1];

  // `hide(dabs)` gives what the bench says of the photo with these parts hidden; `look(photo)` shows that photo.
  constructor(hide, look) {
    Object.assign(this, { hide, look, canvas: $("brush") });
    $("hide").addEventListener("click", () => this.#turn($("brush").hidden));
    $("brush-clear").addEventListener("click", () => this.#clear());
    $("brush-done").addEventListener("click", () => this.#done());
    $("changes-close").addEventListener("click", () => {
      $("changes").hidden = true;
      $("hide").focus();
    });
    $("changes-look").addEventListener("click", () => this.#look());
    this.canvas.addEventListener("click", (event) => event.stopPropagation());
    this.canvas.addEventListener("pointerdown", (event) => {
      this.canvas.setPointerCapture(event.pointerId);
      this.#dab(...this.#at(event));
    });
    this.canvas.addEventListener("pointermove", (event) => event.buttons && this.#dab(...this.#at(event)));
    this.canvas.addEventListener("keydown", (event) => this.#move(event));
  }

  // Another photo is shown: what was painted belongs to the one before.
  show({ photo }) {
    if (photo === this.photo) return;
    Object.assign(this, { photo });
    this.#size = photo.input_size;
    this.#cursor = this.#size.map((length) => length / 2);
    $("changes").hidden = true;
    this.#clear();
    this.#turn(false);
  }

  get #radius() {
    return (Math.min(...this.#size) * $("brush-size").value) / 200;
  }

  #turn(on) {
    this.canvas.hidden = $("brush-tools").hidden = !on;
    $("hide").setAttribute("aria-pressed", String(on));
    if (on && $("mark").getAttribute("aria-pressed") === "true") $("mark").click(); // one at a time
    if (on) this.canvas.focus({ preventScroll: true });
    this.#draw();
  }

  #at(event) {
    const frame = this.canvas.getBoundingClientRect(), [height, width] = this.#size;
    return [((event.clientY - frame.top) / frame.height) * height, ((event.clientX - frame.left) / frame.width) * width];
  }

  #move(event) {
    event.stopPropagation(); // the photo below has keys of its own
    const moves = { ArrowUp: [-1, 0], ArrowDown: [1, 0], ArrowLeft: [0, -1], ArrowRight: [0, 1], Enter: null, " ": null };
    if (!(event.key in moves)) return;
    event.preventDefault();
    const move = moves[event.key];
    if (move === null) this.#dab(...this.#cursor);
    else this.#cursor = this.#cursor.map((at, axis) => Math.min(Math.max(at + move[axis] * this.#radius, 0), this.#size[axis]));
    this.#draw();
  }

  #dab(row, column) {
    this.#cursor = [row, column];
    const [last] = this.#dabs.slice(-1), radius = this.#radius;
    const near = last && Math.hypot(last[0] - row, last[1] - column) < radius / 3 && Math.abs(last[2] - radius) < 0.01;
    if (!near && this.#dabs.length < 2000) this.#dabs.push([row, column, radius].map((length) => Math.round(100 * length) / 100));
    this.#draw();
  }

  #clear() {
    this.#dabs = [];
    this.#draw();
  }

  #draw() {
    $("brush-done").disabled = $("brush-clear").disabled = !this.#dabs.length;
    if (this.canvas.hidden) return;
    const { width, height } = this.canvas.getBoundingClientRect(), pen = this.canvas.getContext("2d");
    Object.assign(this.canvas, { width, height });
    const disc = ([row, column, radius]) => {
      pen.beginPath();
      pen.arc((column / this.#size[1]) * width, (row / this.#size[0]) * height, (radius / this.#size[1]) * width, 0, 7);
    };
    pen.fillStyle = "#777";
    for (const dab of this.#dabs) {
      disc(dab);
      pen.fill();
    }
    if (document.activeElement !== this.canvas) return;
    pen.strokeStyle = "#fff";
    disc([...this.#cursor, this.#radius]);
    pen.stroke();
  }

  async #done() {
    const { photo } = this, answer = await this.hide(this.#dabs);
    if (photo !== this.photo || !answer) return;
    this.hidden = answer.photo;
    $("changes-title").textContent = `What changes with ${answer.photo.notes[0].split(" is covered")[0]} hidden`;
    $("changes").querySelector("tbody").replaceChildren(...answer.changes.map(({ label, before, after }) => {
      const row = element("tr"), name = element("th", label);
      name.scope = "row";
      row.append(name, share(before), share(after));
      row.className = after < before ? "less" : "more";
      return row;
    }));
    $("changes").hidden = false;
    $("changes-title").focus();
  }

  #look() {
    this.look(this.hidden);
  }
}

function share(value) {
  const cell = element("td"), bar = element("span", undefined, "bar"), filled = element("i");
  filled.style.width = 100 * value + "%";
  bar.append(filled);
  cell.append(percent(value), bar);
  return cell;
}
