// The page: what is shown, and what happens when something else is chosen. Needs all the others.

class Page {
  #history = new History((address) => this.#recall(address));
  #turn = 0;
  #lastKey = null;
  #asked = null; // the row and column that units were asked for

  // `whenShown` is called with what has come to be shown.
  constructor(source, whenShown = () => {}) {
    this.source = source;
    this.whenShown = whenShown;
    const choose = (change) => this.choose(change);
    this.lists = new Lists(choose);
    this.pictures = new Pictures(choose);
    this.photo = new Photo((row, column) => this.#ask([row, column]));
    this.steps = new Steps();
    this.repeat = new Repeat();
    $("seeing-close").addEventListener("click", () => {
      this.#ask(null);
      $("stage").focus();
    });
    for (const type of ["keydown", "pointerdown"]) { // a walk by arrow keys is one entry of the history
      addEventListener(type, (event) => (this.#lastKey = event.key?.startsWith("Arrow") ? event.target.parentElement?.id || event.target.id : null), true);
    }
  }

  // Shows what the address names, or else a photo's likeliest class.
  async start(photo = 0) {
    this.about = await this.source.about();
    const first = { photo, klass: 0, layer: null, channel: null, position: [] };
    this.state = (await this.#stateOf(this.#history.address)) ?? first;
    this.wanted = this.state;
    await this.#show({ replace: true });
  }

  // Shows the same again, of a source that has changed.
  async refresh() {
    await this.#show({ replace: true });
  }

  // Shows something else; what is not named stays as it is, so that a map can be followed from photo to photo.
  async choose(change) {
    const walked = this.#lastKey !== null && this.#lastKey === this.walking;
    this.walking = this.#lastKey;
    const onlyPhoto = "photo" in change, klass = change.layer ? null : this.state.klass;
    const next = { ...this.state, klass, ...(onlyPhoto ? { ...this.wanted, klass: this.state.layer === null ? 0 : null } : {}), ...change };
    if (!onlyPhoto) this.wanted = next;
    this.state = next;
    if ("photo" in change || "klass" in change || "layer" in change) this.#asked = null;
    const into = !("position" in change) || "channel" in change;
    await this.#show({ replace: walked, into: into ? { list: "layer" in change && change.layer !== null } : null });
  }

  async #stateOf(address) {
    const photoOf = (i) => (i < this.about.photos.length ? this.source.photo(i) : null);
    return stateOf(address, photoOf, async (photo, number) => this.source.classOf?.(photo, number) ?? -1);
  }

  async #recall(address) {
    const state = await this.#stateOf(address);
    if (!state) return;
    this.state = this.wanted = state;
    this.#asked = null;
    await this.#show({ replace: true });
  }

  // Shows the state: first what there is to choose from, then the picture, then its steps and what it rests on.
  async #show({ replace, into = null }) {
    const turn = ++this.#turn;
    this.source.begin();
    try {
      for await (const stage of this.#stages(replace, into)) if (turn !== this.#turn) return;
    } catch (fault) {
      if (turn !== this.#turn) return;
      if (!(fault instanceof SourceError)) throw fault;
      $("missing").textContent = fault.message;
      $("missing").hidden = false;
    }
  }

  // Stops after everything that it waits for, where it may be left.
  async *#stages(replace, into) {
    const { state, source } = this, missing = [];
    this.about = await source.about();
    const photo = await source.photo(state.photo);
    let index = photo.layers.findIndex(({ name }) => name === state.layer);
    if (state.layer !== null && index < 0) {
      missing.push(`${state.layer} is not shown of ${photo.name}: here is the layer nearest to the classes`);
      index = photo.layers.length - 1;
    }
    const layer = index < 0 ? null : await source.layer(state.photo, index, state.channel);
    yield "layer";
    const { map, cell } = layer === null ? {} : this.#unit(layer, photo, missing);
    const chosen = layer && layer.maps[map], unit = chosen && chosen.cells[cell];
    this.state = layer === null ? { ...state, klass: state.klass ?? 0, layer: null }
      : { ...state, klass: null, layer: layer.name, channel: chosen.channel, position: unit.position };
    this.lists.show({ about: this.about, photo, layer, state: this.state, map, cell });
    this.#history.remember(addressOf(this.state, photo), { replace });
    const shown = layer === null ? await source.klass(state.photo, this.state.klass)
      : await source.unit(state.photo, layer, chosen, unit);
    yield "picture";
    this.#showDetail(photo, layer, chosen, shown, missing);
    this.#showRests(photo, null);
    this.#showTrust("");
    if (into) bringIntoView(into.list);
    const drawn = await source.steps(state.photo, shown, layer);
    yield "steps";
    this.steps.show(drawn.photo, drawn.shown, drawn.way, layer === null ? shown.label : undefined, this.about.lesson);
    const trust = await source.trust(state.photo, shown, layer);
    yield "trust";
    this.#showTrust(trust);
    const rests = layer === null ? await source.responsible(state.photo, this.state.klass) : null;
    yield "rests";
    this.#showRests(photo, rests);
    await this.#showSeeing(photo);
  }

  // The unit of the state, or the nearest to it that the layer has.
  #unit(layer, photo, missing) {
    const { channel, position } = this.state;
    let map = channel === null ? 0 : layer.maps.findIndex((one) => one.channel === channel);
    if (map < 0) {
      missing.push(`${mapWord(layer)} ${channel} of ${layer.name} is not among those shown of ${photo.name}: here is the strongest`);
      map = 0;
    }
    const { cells } = layer.maps[map], same = (one) => one.position.join() === position.join();
    if (layer.every && map >= 0 && !cells.some(same) && isPosition(position, layer.size)) cells.push({ position, activation: null });
    return { map, cell: Math.max(cells.findIndex(same), 0) };
  }

  // A unit, or a class where there is no layer.
  #showDetail(photo, layer, map, shown, missing) {
    const [height, width] = photo.input_size, { box } = shown;
    const part = layer !== null || shown.position.length > 0;
    const title = layer ? `${layer.name}, ${mapWord(layer)} ${map.channel}${at(shown.position)}` : shown.label;
    $("title").textContent = title;
    $("subtitle").textContent = layer
      ? `activation ${number(shown.activation)}${shown.activation === 0 ? ", so that its picture is all grey" : ""}; the picture shows rows ${box[0]} to ${box[2]} and columns ${box[1]} to ${box[3]} of ${height}×${width}`
      : shown.in_full ? percent(shown.probability) : `class ${shown.index}, ${percent(shown.probability)}${at(shown.position)}`;
    $("missing").textContent = missing.join("; ");
    $("missing").hidden = !missing.length;
    this.photo.show(photo, shown, part, title);
    this.pictures.show(photo, shown, part, title, layer, map);
    this.repeat.show(this.about, photo, layer, map, shown);
    this.whenShown({ about: this.about, photo, shown, part, title, layer, map });
  }

  #showTrust(words) {
    $("trust").textContent = words && `how far to trust it: ${words}`;
  }

  #showRests(photo, groups) {
    const some = groups?.filter(({ units }) => units.length).reverse() ?? [];
    $("rests").hidden = !some.length;
    showGroups($("rests-on"), some, photo.layers, ({ share }) => percent(share), (layer, unit) => this.#goTo(layer, unit));
  }

  async #ask(position) {
    this.#asked = position;
    await this.#showSeeing(await this.source.photo(this.state.photo));
    if (position) $("seeing-title").scrollIntoView({ block: "nearest" });
  }

  // The units that see the position that was asked for: those of the chosen layer first, then from the classes down.
  async #showSeeing(photo) {
    const asked = this.#asked;
    this.photo.mark(asked);
    $("seeing").hidden = asked === null;
    if (asked === null) return;
    const groups = await this.source.seeing(this.state.photo, ...asked, this.state.layer);
    const own = (group) => photo.layers[group.layer].name === this.state.layer;
    const ordered = [...groups.filter(own), ...groups.filter((group) => !own(group)).reverse()];
    const some = ordered.map((group) => ({ ...group, units: group.units.slice(0, own(group) ? 12 : 4) }));
    $("seeing-title").textContent = `Units that see row ${asked[0]}, column ${asked[1]}`;
    showGroups($("seeing-units"), some.filter(({ units }) => units.length), photo.layers,
      ({ activation }) => number(activation), (layer, unit) => this.#goTo(layer, unit, asked));
  }

  async #goTo(layer, unit, asked = null) {
    await this.choose({ layer: layer.name, channel: unit.channel, position: unit.position });
    if (asked) await this.#ask(asked);
  }
}

const isPosition = (position, size) =>
  position.length === size.length && position.every((index, axis) => Number.isInteger(index) && index >= 0 && index < size[axis]);

// Only where what was chosen is out of view, as on a phone.
function bringIntoView(list) {
  const above = $("title").getBoundingClientRect().top < 0;
  if (!above && $("pictures").getBoundingClientRect().top < innerHeight - 150) return;
  const still = matchMedia("(prefers-reduced-motion: reduce)").matches;
  const what = list && getComputedStyle($("list")).position === "static" ? $("list") : $("detail");
  what.scrollIntoView({ behavior: still ? "auto" : "smooth" });
}
