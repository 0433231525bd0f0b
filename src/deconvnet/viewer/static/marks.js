// The same part marked in several photos, and whether the network relates it. Needs words.js and dom.js.

class Marks {
  #marks = new Map(); // by the photo's index: {photo, name, box}
  #size = [1, 1];
  #box = null; // top, left, bottom, right
  #from = null;

  // `test(marks)` gives what the bench says of them.
  constructor(test) {
    Object.assign(this, { test, marker: $("marker") });
    $("mark").addEventListener("click", () => this.#turn(this.marker.hidden));
    $("marks-close").addEventListener("click", () => {
      this.#turn(false);
      $("mark").focus();
    });
    $("marks-test").addEventListener("click", () => this.#test());
    this.marker.addEventListener("click", (event) => event.stopPropagation());
    this.marker.addEventListener("pointerdown", (event) => {
      this.marker.setPointerCapture(event.pointerId);
      this.#from = this.#at(event);
    });
    this.marker.addEventListener("pointermove", (event) => this.#from && this.#draw(spanned(this.#from, this.#at(event))));
    this.marker.addEventListener("pointerup", (event) => {
      if (this.#from) this.#set(spanned(this.#from, this.#at(event)));
      this.#from = null;
    });
    this.marker.addEventListener("keydown", (event) => this.#move(event));
  }

  show({ photo }, index) {
    Object.assign(this, { photo, index });
    this.#size = photo.input_size;
    const [height, width] = this.#size;
    this.#draw(this.#marks.get(index)?.box ?? [0.35 * height, 0.35 * width, 0.65 * height, 0.65 * width].map(Math.round));
    this.#list();
  }

  #turn(on) {
    this.marker.hidden = $("marks").hidden = !on;
    $("mark").setAttribute("aria-pressed", String(on));
    if (on && $("hide").getAttribute("aria-pressed") === "true") $("hide").click(); // one at a time
    if (on) this.marker.focus({ preventScroll: true });
  }

  #at(event) {
    const frame = this.marker.getBoundingClientRect(), [height, width] = this.#size;
    const inside = (x, length) => Math.min(Math.max(Math.round(x * length), 0), length);
    return [inside((event.clientY - frame.top) / frame.height, height), inside((event.clientX - frame.left) / frame.width, width)];
  }

  #move(event) {
    event.stopPropagation(); // the photo below has keys of its own
    const moves = { ArrowUp: [-1, 0], ArrowDown: [1, 0], ArrowLeft: [0, -1], ArrowRight: [0, 1], Enter: null, " ": null };
    if (!(event.key in moves)) return;
    event.preventDefault();
    const move = moves[event.key], [height, width] = this.#size, step = Math.max(1, Math.round(Math.max(height, width) / 64));
    if (move === null) return this.#set(this.#box);
    const [top, left, bottom, right] = this.#box, [down, aside] = move.map((by) => by * step);
    const moved = event.shiftKey ? [top, left, bottom + down, right + aside] : [top + down, left + aside, bottom + down, right + aside];
    if (moved[0] >= 0 && moved[1] >= 0 && moved[2] <= height && moved[3] <= width && moved[2] > moved[0] && moved[3] > moved[1]) this.#draw(moved);
  }

  #draw(box) {
    this.#box = box;
    place(this.marker.firstElementChild, box, ...this.#size);
  }

  #set(box) {
    if (box[2] - box[0] < 1 || box[3] - box[1] < 1) return;
    this.#draw(box);
    this.#marks.set(this.index, { photo: this.index, name: this.photo.name, box });
    $("marks-result").hidden = true;
    this.#list();
  }

  #list() {
    $("marked").replaceChildren(...[...this.#marks.values()].map(({ photo, name, box }) => {
      const item = element("li", `${name}: rows ${box[0]} to ${box[2]}, columns ${box[1]} to ${box[3]} `), button = element("button", "remove", "plain");
      button.type = "button";
      button.setAttribute("aria-label", `remove the mark of ${name}`);
      button.addEventListener("click", () => {
        this.#marks.delete(photo);
        this.#list();
        $("marks-title").focus();
      });
      item.append(button);
      return item;
    }));
    $("marks-test").disabled = this.#marks.size < 2;
  }

  async #test() {
    const answer = await this.test([...this.#marks.values()]);
    if (!answer) return;
    $("marks-result").querySelector("tbody").replaceChildren(...answer.rows.map((row) => {
      const line = element("tr"), layer = element("th", breakable(row.layer));
      layer.scope = "row";
      const cells = [row.distance.toFixed(3), row.random.toFixed(3), number(row.p_value), `${percent(row.changed)}, ${percent(row.random_changed)}`];
      line.append(layer, ...cells.map((words) => element("td", words)));
      return line;
    }));
    $("marks-words").textContent = "Distance: the share of features whose signs of change differ between two photos, the mean over pairs; " +
      `random: the same of ${answer.placements} random regions in each photo; p: how often those are as alike. ${answer.notes.join(" ")}`;
    $("marks-result").hidden = false;
    $("marks-title").focus();
  }
}

const spanned = ([y, x], [v, u]) => [Math.min(y, v), Math.min(x, u), Math.max(y, v), Math.max(x, u)];
