// Where the data comes from. Needs nothing.
//
// Components are given a source with these methods, each of which returns a promise, and never read the document:
//   about()                 the network, the rules, and the names of the photos
//   photo(index)            a photo, its classes, its layers (what they are), the layers that signals pass
//   layer(photo, index, channel)   a layer with its maps and their units; `every` if all units can be shown, not only
//                           those that are listed; then the map of that channel is among its maps if there is one
//   unit(photo, layer, map, cell)  a unit with its box and picture
//   klass(photo, index)     a class with its box and picture
//   steps(photo, shown, layer)     what `Steps` shows of a unit or class that came from these: {photo, shown, way}
//   trust(photo, shown, layer)     what the picture rests on, in a line; "" where nobody has looked
//   seeing(photo, row, column, layer)   the units whose pictures hold a pixel: groups of {layer, units}, strongest
//                           first; more of them of the layer of that name, if it is not null
//   responsible(photo, index)    the units that a class rests on: the same, those of largest share first
// A unit in a group is {map, cell, channel, position, activation, picture} and perhaps its share; `map` and `cell` are
// indices into its layer's maps and their cells.
// `begin()` says that something else was chosen: what was asked for before is not waited for any more. What fails for a
// reason that the visitor should read is a SourceError.

class SourceError extends Error {}

class EmbeddedSource {
  #page;

  constructor(page) {
    this.#page = page;
  }

  begin() {}

  async about() {
    const { model, rules, setup, flags, lesson, photos } = this.#page;
    return { model, rules, setup, flags, lesson, photos: photos.map(({ name }) => name) };
  }

  async photo(index) {
    return this.#page.photos[index];
  }

  async layer(photo, index) {
    return this.#page.photos[photo].layers[index];
  }

  async unit(photo, layer, map, cell) {
    return cell;
  }

  async klass(photo, index) {
    return this.#page.photos[photo].classes[index];
  }

  async steps(photo, shown, layer) {
    return { photo: this.#page.photos[photo], shown, way: layer ?? shown };
  }

  async trust() {
    return "";
  }

  async seeing(photo, row, column) {
    const holds = ([top, left, bottom, right]) => top <= row && row < bottom && left <= column && column < right;
    return this.#page.photos[photo].layers.map((layer, index) => {
      const units = layer.maps.flatMap((map, m) => map.cells.flatMap((cell, c) => (
        holds(cell.box) ? [unitOf(map, m, cell, c)] : [])));
      return { layer: index, units: units.sort((a, b) => b.activation - a.activation) };
    });
  }

  async responsible(photo, index) {
    const { classes, layers } = this.#page.photos[photo];
    return layers.map((layer, l) => ({
      layer: l,
      units: classes[index].responsible.filter((one) => one.layer === l).map(({ channel, position, share }) => {
        const m = layer.maps.findIndex((map) => map.channel === channel);
        const c = layer.maps[m].cells.findIndex((cell) => cell.position.join() === position.join());
        return { ...unitOf(layer.maps[m], m, layer.maps[m].cells[c], c), share };
      }),
    }));
  }
}

const unitOf = (map, m, { position, activation, picture }, c) =>
  ({ map: m, cell: c, channel: map.channel, position, activation, picture });
