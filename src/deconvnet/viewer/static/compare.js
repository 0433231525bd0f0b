// A picture kept beside the one that is shown, and pictures saved as files. Needs dom.js and pictures.js.

class Compare {
  #kept = null;
  #now = null;

  constructor() {
    $("keep").addEventListener("click", () => {
      this.#kept = this.#now;
      this.#draw();
      $("compare").scrollIntoView({ block: "nearest" });
    });
    $("compare-close").addEventListener("click", () => {
      this.#kept = null;
      this.#draw();
      $("keep").focus();
    });
    $("save").addEventListener("click", () => this.#save());
  }

  // What is shown now; see `Page`.
  show(now) {
    this.#now = now;
    this.#draw();
  }

  #draw() {
    $("compare").hidden = this.#kept === null;
    if (this.#kept !== null) $("compared").replaceChildren(side(this.#kept, "kept"), side(this.#now, "now"));
  }

  async #save() {
    const { shown, title, photo, about } = this.#now, image = picture(webp(shown.picture));
    await image.decode();
    const canvas = element("canvas");
    Object.assign(canvas, { width: image.naturalWidth, height: image.naturalHeight });
    canvas.getContext("2d").drawImage(image, 0, 0);
    const link = element("a");
    link.href = canvas.toDataURL("image/png");
    link.download = `${photo.name} ${title} ${about.rules}.png`.replace(/[^\p{L}\p{N}.,-]+/gu, "_");
    link.click();
  }
}

function side({ shown, title, photo, about, part }, words) {
  const figure = element("figure"), row = element("div", undefined, "pair"), frame = element("div", undefined, "frame");
  frame.append(picture(webp(shown.picture), `the projection of ${title}`));
  row.append(frame);
  if (part) {
    const around = element("div", undefined, "frame"), patch = element("div", undefined, "patch");
    around.append(patch);
    showPatch(patch, photo, shown.box);
    row.append(around);
  }
  figure.append(row, element("figcaption", `${words}: ${title}, in ${photo.name}, rules ${about.rules}`));
  return figure;
}
