// The bench: photos come in by the button, by dropping and by pasting; the rule set; and the page. Needs all the others.

class BenchPage {
  #started = false;

  constructor(about, bench) {
    this.bench = Object.assign(bench, { tell: (words) => ($("doing").textContent = words) });
    this.source = new LiveSource(this.bench, about);
    this.compare = new Compare();
    this.classes = new Classes((text) => this.source.find(this.page.state.photo, text), (one) => (
      this.page.choose({ klass: this.source.include(this.page.state.photo, one), layer: null })));
    this.brush = new Brush((dabs) => this.#hide(dabs), (photo) => this.#look(photo));
    this.marks = new Marks((marks) => this.#correspondence(marks));
    this.page = new Page(this.source, (now) => this.#shown(now));
    this.#bringPhotos(about.samples);
    moveByArrows($("rules"));
    this.#showRules();
    $("more").addEventListener("click", () => {
      this.source.more(this.layer.name);
      this.page.refresh();
    });
  }

  async start() {
    await this.#trying(async () => {
      for (const photo of await this.bench.photos()) this.source.add(photo);
      if (this.source.count) await this.#show(null);
    });
  }

  #bringPhotos(samples) {
    $("files").addEventListener("change", () => this.#bring([...$("files").files]).then(() => ($("files").value = "")));
    $("samples").replaceChildren(...samples.map((name) => {
      const button = element("button", name, "plain");
      button.type = "button";
      button.addEventListener("click", () => this.#add(() => this.bench.sample(name), null));
      return button;
    }));
    addEventListener("paste", (event) => {
      const files = [...(event.clipboardData?.files ?? [])];
      if (files.length) this.#bring(files);
    });
    addEventListener("dragover", (event) => {
      if (![...event.dataTransfer.types].includes("Files")) return;
      event.preventDefault();
      $("drop").hidden = false;
    });
    addEventListener("dragleave", (event) => event.relatedTarget || ($("drop").hidden = true));
    addEventListener("drop", (event) => {
      event.preventDefault();
      $("drop").hidden = true;
      this.#bring([...event.dataTransfer.files]);
    });
  }

  async #bring(files) {
    for (const file of files) await this.#add(() => this.bench.send(file), file);
  }

  async #add(ask, file) {
    await this.#trying(async () => this.#show(this.source.add(await ask(), file)));
  }

  // Shows a photo; null for the one that the address names.
  async #show(photo) {
    document.body.classList.remove("empty");
    if (this.#started && photo !== null) await this.page.choose({ photo });
    else await this.page.start(photo ?? 0);
    this.#started = true;
  }

  #showRules() {
    const names = Object.keys(this.source.facts.rules);
    showButtons($("rules"), names, names.indexOf(this.source.rules), (name) => [name], (i) => {
      this.source.rules = names[i];
      this.#showRules();
      if (this.#started) this.page.refresh();
    });
  }

  #shown(now) {
    this.layer = now.layer;
    $("more").hidden = !now.layer || now.layer.maps.length >= now.layer.channels;
    this.classes.show(now.photo);
    this.compare.show(now);
    this.brush.show(now);
    this.marks.show(now, this.page.state.photo);
  }

  async #hide(dabs) {
    let answer = null;
    await this.#trying(async () => (answer = await this.source.hide(this.page.state.photo, dabs)));
    return answer;
  }

  async #correspondence(marks) {
    let answer = null;
    await this.#trying(async () => (answer = await this.source.correspondence(marks)));
    return answer;
  }

  async #look(photo) {
    await this.#trying(async () => this.#show(this.source.add(photo)));
  }

  // Says what failed; the next thing that is tried takes it away.
  async #trying(work) {
    $("fault").hidden = true;
    try {
      await work();
    } catch (fault) {
      if (!(fault instanceof SourceError)) throw fault;
      $("fault").textContent = fault.message;
      $("fault").hidden = false;
    }
  }
}
