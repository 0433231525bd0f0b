// The pictures beside the photo: the projection, its patch, its feature map, the whole photo. Needs words.js, dom.js.

class Pictures {
  constructor(choose) {
    this.choose = choose;
    this.trust = element("p", "", "trust");
    $("projection-figure").querySelector("figcaption").append(this.trust);
    $("map").addEventListener("click", (event) => {
      const frame = $("map").getBoundingClientRect(), [height, width] = this.layer.size;
      const y = ((event.clientY - frame.top) / frame.height) * height - 0.5;
      const x = ((event.clientX - frame.left) / frame.width) * width - 0.5;
      if (this.layer.every) this.#choose(Math.round(y), Math.round(x));
      else this.#pick((a, b) => Math.hypot(a - y, b - x));
    });
    $("map").addEventListener("keydown", (event) => {
      const [y, x] = this.at;
      const move = { ArrowUp: [-1, 0], ArrowDown: [1, 0], ArrowLeft: [0, -1], ArrowRight: [0, 1] }[event.key];
      if (move && this.layer.every) {
        event.preventDefault();
        this.#choose(y + move[0], x + move[1]);
        return;
      }
      const ahead = { ArrowUp: (a) => y - a, ArrowDown: (a) => a - y, ArrowLeft: (a, b) => x - b, ArrowRight: (a, b) => b - x }[event.key];
      if (!ahead) return;
      event.preventDefault();
      this.#pick((a, b) => (ahead(a, b) > 0 ? 2 * Math.hypot(a - y, b - x) - ahead(a, b) : Infinity));
    });
  }

  // `shown` is a unit, or a class where there is no layer.
  show(photo, shown, part, words, layer, map) {
    Object.assign(this, { layer, map, cell: layer && shown, at: shown.position });
    $("pictures").classList.toggle("of-part", part);
    $("pictures").classList.toggle("two", !part && !photo.whole);
    $("projection").src = webp(shown.picture);
    $("projection").alt = `the projection of ${words}`;
    const looked = layer ? layer.maps[0] === map && map.cells[0] === shown : true;
    this.trust.textContent = (looked && (layer ?? shown).trust) || "";
    $("patch-figure").hidden = !part;
    if (part) showPatch($("patch"), photo, shown.box);
    $("map-figure").hidden = !(layer && map.image);
    if (layer && map.image) this.#showMap();
    $("whole-figure").hidden = !photo.whole;
    if (photo.whole) {
      $("whole-photo").src = webp(photo.whole);
      $("whole-photo").alt = `the whole photo ${photo.name}`;
      place($("seen"), photo.seen, 1, 1);
    }
  }

  // The map, a pixel for each unit, with a frame around each that has a picture.
  #showMap() {
    const { layer, map, cell } = this, [height, width] = layer.size;
    $("map-image").src = webp(map.image);
    $("map-image").alt = `feature map ${map.channel} of ${layer.name}`;
    $("map").style.aspectRatio = `${width} / ${height}`;
    $("map").setAttribute("aria-label", `feature map ${map.channel} of ${layer.name}, ${height} by ${width}, unit ${cell.position.join(",")} chosen; arrow keys choose others`);
    $("map-frames").replaceChildren(...map.cells.map((one) => {
      const [y, x] = one.position, chosen = one.position.join() === cell.position.join();
      const frame = element("i", undefined, chosen ? "chosen" : "");
      place(frame, [y, x, y + 1, x + 1], height, width);
      return frame;
    }));
    const several = map.cells.length > 1;
    $("map-caption").textContent = layer.every ? `map ${map.channel}: click any of its units` : several ? `map ${map.channel}: each framed unit has a picture; click one`
      : `map ${map.channel}: its framed unit has a picture`;
  }

  // The frame moves at once, so that keys may be pressed faster than pictures come.
  #choose(...position) {
    const inside = position.map((at, axis) => Math.min(Math.max(at, 0), this.layer.size[axis] - 1)), [y, x] = inside;
    if (inside.join() === this.at.join()) return;
    this.at = inside;
    place($("map-frames").querySelector(".chosen"), [y, x, y + 1, x + 1], ...this.layer.size);
    this.choose({ position: inside });
  }

  #pick(distance) {
    const distances = this.map.cells.map((one) => distance(...one.position)), least = Math.min(...distances);
    if (least < Infinity) this.choose({ position: this.map.cells[distances.indexOf(least)].position });
  }
}

// The patch is a part of the photo's own picture, enlarged and shifted in its frame.
function showPatch(frame, photo, [top, left, bottom, right]) {
  const [height, width] = photo.input_size, image = picture(webp(photo.image), `the patch of ${photo.name}`);
  const [rows, columns] = [bottom - top, right - left];
  frame.style.aspectRatio = `${columns} / ${rows}`;
  frame.style.width = columns >= rows ? "100%" : (100 * columns) / rows + "%";
  place(image, [-top, -left, height - top, width - left], rows, columns);
  frame.replaceChildren(image);
}
