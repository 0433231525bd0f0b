// The search for a class that is not among the likeliest. Needs source.js, dom.js and lists.js.

class Classes {
  #photo = null;
  #waiting = 0;

  // `find(text)` promises {count, classes}, and `choose(one)` shows one of these.
  constructor(find, choose) {
    Object.assign(this, { find, choose });
    const query = $("class-query"), results = $("class-results");
    query.addEventListener("input", () => {
      clearTimeout(this.#waiting);
      this.#waiting = setTimeout(() => this.#search(), 150);
    });
    query.addEventListener("keydown", (event) => {
      if (event.key === "Enter" || event.key === "ArrowDown") {
        const first = results.querySelector("button");
        if (!first) return;
        event.preventDefault();
        if (event.key === "Enter") first.click();
        else first.focus();
      }
    });
    $("find-class").addEventListener("keydown", (event) => event.key === "Escape" && this.#clear());
    moveByArrows(results, { press: false });
  }

  // Of a photo that has more classes than are shown; another one has other probabilities.
  show(photo) {
    $("find-class").hidden = photo.every_class <= photo.classes.length;
    if (photo !== this.#photo && $("class-query").value) this.#search();
    this.#photo = photo;
  }

  #clear() {
    $("class-query").value = "";
    $("class-query").focus();
    this.#search();
  }

  async #search() {
    const text = $("class-query").value.trim();
    let answer = { count: 0, classes: [] };
    try {
      if (text) answer = await this.find(text);
    } catch (fault) {
      if (!(fault instanceof SourceError)) throw fault;
      return; // something newer was asked for
    }
    if ($("class-query").value.trim() !== text) return; // a newer search is on its way
    const { count, classes } = answer, listed = count > classes.length ? `, first ${classes.length} listed` : "";
    $("class-count").textContent = text ? `${count} class${count === 1 ? "" : "es"}${listed}` : "";
    showButtons($("class-results"), classes, null, (one) => [
      element("span", one.index, "index"), ...classButton(one),
    ], (i) => this.choose(classes[i]));
  }
}
