// A source that asks a bench; see source.js for what a source is. Needs source.js.
//
// A bench has these methods; all but `begin` return a promise, and fail with a SourceError:
//   ask(what, question, words)   its answer to a question; `words` say what is being computed
//   sample(name), send(file)     a photo that was brought, as the bench describes it
//   photos()                     those that this visitor brought before
//   begin()                      something else was chosen: what was asked before is given up
// It calls `tell(words)` with what is being computed, "" when nothing is.

class LiveSource {
  #photos = []; // what the bench says of each, with its file, in case the bench has no more room for it
  #layers = new Map();
  #most = new Map(); // of each layer, how many maps are asked for

  constructor(bench, about) {
    Object.assign(this, { bench, facts: about, rules: Object.keys(about.rules)[0] });
  }

  get count() {
    return this.#photos.length;
  }

  key(index) {
    return this.#photos[index].key;
  }

  // Adds a photo as the bench describes it, and gives its index.
  add(photo, file = null) {
    const classes = photo.classes.map((one, klass) => ({ ...one, klass }));
    return this.#photos.push({ ...photo, classes, file, layers: this.facts.layers }) - 1;
  }

  // The classes of a photo whose names hold some words, or whose index it is: {count, classes}, of which some are listed.
  async find(photo, text) {
    return this.#ask("classes", photo, { text }, "");
  }

  // Adds a class that was found to those of a photo, and gives its index among them.
  include(photo, one) {
    const { classes } = this.#photos[photo], index = classes.findIndex(({ klass }) => klass === one.klass);
    return index < 0 ? classes.push(one) - 1 : index;
  }

  // The same for the class of that number; -1 if there is none.
  async classOf(photo, number) {
    const { classes } = await this.find(photo, number), one = classes.find(({ index }) => String(index) === number);
    return one ? this.include(photo, one) : -1;
  }

  // More maps of a layer from now on.
  more(name) {
    this.#most.set(name, this.#mapsOf(name) * 4);
  }

  begin() {
    this.bench.begin();
  }

  async about() {
    const { model, rules } = this.facts;
    return { model, rules: this.rules, ...rules[this.rules], photos: this.#photos.map(({ name }) => name) };
  }

  async photo(index) {
    return this.#photos[index];
  }

  async layer(photo, index, channel) {
    const { name } = this.facts.layers[index], key = [photo, name, this.#mapsOf(name)].join();
    const cached = this.#layers.get(key);
    if (cached && (channel === null || cached.maps.some((map) => map.channel === channel))) return cached;
    const wanted = Number.isInteger(channel) && channel >= 0 && channel < this.facts.layers[index].channels ? channel : null;
    const layer = await this.#ask("layer", photo, { layer: name, count: this.#mapsOf(name), channel: wanted }, `the maps of ${name}`);
    if (this.#layers.size > 40) this.#layers.clear();
    this.#layers.set(key, { ...layer, every: true });
    return this.#layers.get(key);
  }

  async unit(photo, layer, { channel }, { position }) {
    return this.#ask("unit", photo, { layer: layer.name, channel, position, rules: this.rules }, "the projection");
  }

  async klass(photo, index) {
    const one = this.#photos[photo].classes[index];
    return { ...one, ...(await this.#ask("class", photo, { klass: one.klass, rules: this.rules }, "the projection")) };
  }

  async steps(photo, shown, layer) {
    const { passed, words, down, how, ...pictures } = await this.#askAbout("steps", photo, shown, layer, "its steps");
    return { photo: { ...this.#photos[photo], passed, words }, shown: { ...shown, ...pictures }, way: { down, how } };
  }

  async trust(photo, shown, layer) {
    return (await this.#askAbout("trust", photo, shown, layer, "what it rests on")).line;
  }

  async seeing(photo, row, column, layer) {
    return this.#ask("seeing", photo, { row, column, rules: this.rules, layer: layer ?? "" }, "the units that see the position");
  }

  async responsible(photo, index) {
    const { klass } = this.#photos[photo].classes[index];
    return this.#ask("rests-on", photo, { klass, rules: this.rules }, "the units that it rests on");
  }

  async hide(photo, dabs) {
    return this.#ask("hide", photo, { dabs, visitor: this.bench.visitor }, "what changes");
  }

  // `marks` are {photo, box}, with the photos' indices.
  async correspondence(marks) {
    const question = { marks: marks.map(({ photo, box: [top, left, bottom, right] }) => (
      { photo: this.#photos[photo].key, top, left, bottom, right })) };
    return this.bench.ask("correspondence", question, "the features that change");
  }

  #mapsOf(name) {
    return this.#most.get(name) ?? 48;
  }

  // Asks about a unit, or a class where there is no layer.
  async #askAbout(what, photo, { channel, position, klass }, layer, words) {
    const { rules } = this;
    return layer ? this.#ask(`unit-${what}`, photo, { layer: layer.name, channel, position, rules }, words)
      : this.#ask(`class-${what}`, photo, { klass, rules }, words);
  }

  // Asks about a photo; one that the bench has let go is sent again.
  async #ask(what, photo, question, words) {
    const ask = () => this.bench.ask(what, { photo: this.#photos[photo].key, ...question }, words);
    try {
      return await ask();
    } catch (fault) {
      const { file, source } = this.#photos[photo];
      if (!fault.gone || !(file || source.startsWith("sample:"))) throw fault;
      const again = file ? await this.bench.send(file) : await this.bench.sample(source.slice(7));
      this.#photos[photo].key = again.key;
      return await ask();
    }
  }
}
