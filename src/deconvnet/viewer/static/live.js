// A source that asks a bench; see source.js for what a source is. Needs source.js.
//
// Each choice of the visitor is a turn: requests of an earlier one are given up, here and by the bench. `ask(what,
// question)` gives the bench's answer to a question; `send(file)` and `sample(name)` bring a photo.

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
    return this.#photos.push({ ...photo, file, layers: this.facts.layers }) - 1;
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
    const answer = await this.#ask("class", photo, { klass: index, rules: this.rules }, "the projection");
    return { ...this.#photos[photo].classes[index], ...answer, klass: index };
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
    return this.#ask("rests-on", photo, { klass: index, rules: this.rules }, "the units that it rests on");
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

// A bench behind the address that this page came from.
class HttpBench {
  #turn = Date.now();
  #given = new AbortController();
  visitor = visitorOf(sessionStorage);

  // `tell(words)` says what is being computed; "" when nothing is.
  constructor(tell) {
    this.tell = tell;
  }

  begin() {
    this.#turn += 1;
    this.#given.abort();
    this.#given = new AbortController();
  }

  async photos() {
    return (await this.#fetch("/photos", { method: "GET" })).photos;
  }

  async ask(what, question, words) {
    return this.#fetch(`/ask/${what}`, json(question), words, this.#given.signal);
  }

  async sample(name) {
    return this.#fetch("/samples", json({ sample: name }), `the classes of ${name}`);
  }

  async send(file) {
    const headers = { "X-Name": encodeURIComponent(file.name ?? "photo") };
    return this.#fetch("/photos", { method: "POST", body: file, headers }, `the classes of ${file.name ?? "the photo"}`);
  }

  async #fetch(address, options, words = "", signal = undefined) {
    const headers = { ...options.headers, "X-Visitor": this.visitor, "X-Turn": String(this.#turn) };
    this.tell(words && `computing ${words} …`);
    try {
      const response = await fetch(address, { ...options, headers, signal });
      const answer = await response.json();
      if (response.ok) return answer;
      throw Object.assign(new SourceError(answer.error), { gone: answer.gone });
    } catch (fault) {
      if (fault instanceof SourceError) throw fault;
      throw new SourceError(fault.name === "AbortError" ? "something newer was asked for" : "the bench does not answer: is it still running?");
    } finally {
      if (!signal?.aborted) this.tell("");
    }
  }
}

const json = (value) => ({ method: "POST", body: JSON.stringify(value), headers: { "Content-Type": "application/json" } });

// A name that only this tab has, so that it finds its photos again when it is loaded anew.
function visitorOf(storage) {
  const made = () => Array.from(crypto.getRandomValues(new Uint8Array(16)), (byte) => byte.toString(16).padStart(2, "0")).join("");
  const visitor = storage.getItem("visitor") ?? made();
  storage.setItem("visitor", visitor);
  return visitor;
}
