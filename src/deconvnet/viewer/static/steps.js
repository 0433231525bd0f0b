// The way down, step by step: the signal before and after each operation, the switches, and a closer look at a step.
// Needs words.js and dom.js.

const SECONDS = 1.5; // that each step is shown while they play

const OPERATIONS = { unpool: "Unpool", rectify: "Rectify", filter: "Filter" };

class Steps {
  constructor() {
    this.steps = [];
    moveByArrows($("steps"), { press: false });
    $("step").addEventListener("close", () => {
      this.#play(false);
      $("steps").children[this.index]?.focus();
    });
    $("step").addEventListener("click", (event) => event.target === $("step") && $("step").close());
    $("step").addEventListener("keydown", (event) => {
      const move = { ArrowLeft: -1, ArrowRight: 1 }[event.key];
      if (move && this.steps[this.index + move]) this.#enlarge(this.index + move);
    });
    $("step-close").addEventListener("click", () => $("step").close());
    $("step-play").addEventListener("click", () => this.#play(this.playing === undefined));
    for (const [id, move] of [["step-back", -1], ["step-on", 1]]) {
      $(id).addEventListener("click", () => {
        this.#play(false);
        this.#enlarge(this.index + move);
      });
    }
  }

  // Goes on by itself, from the start if it is at the end; or stops.
  #play(on) {
    clearInterval(this.playing);
    this.playing = undefined;
    $("step-play").textContent = on ? "pause" : "play";
    if (!on) return;
    if (this.index === this.steps.length - 1) this.#enlarge(0);
    this.playing = setInterval(() => {
      this.#enlarge(this.index + 1);
      if (this.index === this.steps.length - 1) this.#play(false);
    }, SECONDS * 1000);
  }

  // `shown` is a unit or a class, `way` its layer or the class: the layers passed and what is undone between them.
  show(photo, shown, way, start, lesson) {
    this.lesson = lesson;
    const { down, how } = way, missing = down.length + 1 - how.length; // nothing brings a unit to its own layer
    const operations = (i) => (i < missing ? null : photo.words[how[i - missing]]);
    const name = (i) => (i < 0 ? start : photo.passed[down[i]].name);
    this.steps = down.map((index, i) => ({
      name: name(i), before: name(i - 1), operations: operations(i), switches: shown.switches[i] ?? null,
      up: () => tile(photo.passed[index].forward, 0, 1, `${name(i)} on the way up`),
      signal: () => tile(shown.steps, i, down.length, `the signal on ${name(i)}`),
    }));
    this.steps.push({
      name: "the pixels", before: name(down.length - 1), operations: operations(down.length), switches: null,
      up: () => placed(photo.image, [0, 0, ...photo.input_size], photo.input_size, "the photo"),
      signal: () => placed(shown.picture, shown.box, photo.input_size, "the projection"),
    });
    $("steps").replaceChildren(...this.steps.map((step, i) => this.#card(step, i)));
    $("steps").scrollLeft = 0;
  }

  #card(step, i) {
    const card = element("button", undefined, "step"), kind = step.operations?.kind;
    card.type = "button";
    card.tabIndex = i ? -1 : 0;
    card.append(element("span", operationName(step), "operation" + (kind ? " " + kind : "")), step.up(), step.signal(),
      element("b", breakable(step.name)));
    if (step.switches) {
      card.classList.add("wide");
      card.append(element("span", "its switches: from the middle of each window to its maximum", "about-switches"),
        switchesDrawn(step.switches));
    }
    if (step.operations) card.append(element("span", breakable(step.operations.lines.join("; ")), "undone"));
    card.addEventListener("click", () => this.#enlarge(i));
    return card;
  }

  #explained(operations) {
    if (!operations) return "The unit alone: one value, all else zero.";
    if (operations.lines.length > 3) return "A block: its branches are undone one by one, and what comes out of them is added.";
    return this.lesson[operations.kind] ?? "";
  }

  #enlarge(i) {
    const step = this.steps[i], { operations, switches } = step, previous = this.steps[i - 1];
    this.index = i;
    $("step-title").textContent = `${i + 1} of ${this.steps.length}. ${operationName(step)}: ${step.name}`;
    $("step-words").textContent = this.#explained(operations);
    const lines = [...(operations?.lines ?? []), ...(operations?.losses ?? [])];
    $("step-lines").replaceChildren(...lines.map((line) => element("li", breakable(line))));
    $("step-pictures").replaceChildren(
      ...(operations ? [labelled(previous ? previous.signal() : null, `before: the signal on ${step.before}`)] : []),
      labelled(step.signal(), operations ? `after: the signal on ${step.name}` : `the signal on ${step.name}`),
      ...(switches ? [labelled(switchesDrawn(switches), `switches of map ${switches.channel}, rows ${range(switches, 0)} and columns ${range(switches, 1)}: from the middle of each window to where its maximum was`)] : []),
      labelled(step.up(), i === this.steps.length - 1 ? "the photo" : `what ${step.name} gave on the way up`),
    );
    $("step-back").disabled = i === 0;
    $("step-on").disabled = i === this.steps.length - 1;
    if (!$("step").open) $("step").showModal();
    else if (document.activeElement?.disabled || document.activeElement === document.body) $("step-close").focus();
  }
}

const range = ({ low, size }, axis) => `${low[axis]} to ${low[axis] + size[axis] - 1}`;

function operationName({ operations }) {
  if (!operations) return "Start";
  if (operations.kind) return OPERATIONS[operations.kind];
  return operations.lines.length > 1 ? "Several steps" : "Other step";
}

function labelled(what, words) {
  const figure = element("figure");
  figure.append(what ?? element("span", "1 at this class, 0 at all others", "tile words"), element("figcaption", breakable(words)));
  return figure;
}

function placed(data, box, size, words) {
  const frame = element("span", undefined, "tile"), image = picture(webp(data), words);
  place(image, box, ...size);
  frame.append(image);
  return frame;
}

// A part of a map of the signal; a line from the middle of each window to the position of its maximum.
function switchesDrawn({ size: [height, width], picture: data, lines, channel }) {
  const frame = element("span", undefined, "tile switches"), image = picture(webp(data), `the switches of map ${channel}`);
  const svg = document.createElementNS("http://www.w3.org/2000/svg", "svg");
  svg.setAttribute("viewBox", `0 0 ${width} ${height}`);
  svg.setAttribute("aria-hidden", "true");
  const draw = (name, values) => {
    const shape = document.createElementNS(svg.namespaceURI, name);
    for (const [key, value] of Object.entries(values)) shape.setAttribute(key, value);
    svg.append(shape);
  };
  for (let i = 0; i < lines.length; i += 4) {
    const [y, x] = [lines[i] / 2 + 0.5, lines[i + 1] / 2 + 0.5], [v, u] = [lines[i + 2] + 0.5, lines[i + 3] + 0.5];
    draw("line", { x1: x, y1: y, x2: u, y2: v });
    draw("circle", { cx: u, cy: v, r: 0.22 });
  }
  frame.style.aspectRatio = `${width} / ${height}`;
  frame.append(image, svg);
  return frame;
}
