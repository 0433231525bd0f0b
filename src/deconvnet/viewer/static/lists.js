// The lists to choose from: photos, classes, layers and feature maps. Needs words.js and dom.js.

class Lists {
  constructor(choose) {
    this.choose = choose;
    for (const id of ["photos", "classes", "layers", "maps", "cells"]) moveByArrows($(id));
  }

  show({ about, photo, layer, state, map, cell }) {
    $("photo-name").textContent = photo.name;
    $("photos").hidden = about.photos.length < 2;
    const { choose } = this;
    showButtons($("photos"), about.photos, state.photo, photoName, (i) => choose({ photo: i }));
    showButtons($("classes"), photo.classes, state.layer === null ? state.klass : null, classButton,
      (i) => choose({ klass: i, layer: null }));
    const index = state.layer === null ? null : photo.layers.findIndex(({ name }) => name === state.layer);
    showButtons($("layers"), photo.layers, index, (one) => [breakable(one.name), element("small", layerWords(one))],
      (i) => choose({ layer: photo.layers[i].name, channel: null, position: [] }));
    $("list").hidden = layer === null;
    if (layer !== null) this.showMaps(layer, map);
    const cells = layer === null ? [] : layer.maps[map].cells;
    $("cells").hidden = cells.length < 2;
    showButtons($("cells"), cells.slice(0, Math.max(12, cell + 1)), cell,
      (one) => [one.position.join(",") + (one.activation === null ? "" : `: ${number(one.activation)}`)],
      (i) => choose({ position: cells[i].position }));
  }

  showMaps(layer, chosen) {
    $("list-title").textContent = `${layer.size.length ? "Feature maps" : "Units"} of ${breakable(layer.name)}`;
    const few = layer.alive > layer.maps.length;
    const rest = few ? `${layer.maps.length} of the ${layer.alive} that respond` : "all that respond";
    const left = layer.left_out ? `; ${layer.left_out} of its units were left out for the page's size` : "";
    $("list-note").textContent = `${rest}, the strongest first, of ${layerWords(layer)}${left}`;
    showButtons($("maps"), layer.maps, chosen, ({ channel, image: map, cells: [strongest] }) => [
      ...[strongest.picture ?? map].filter(Boolean).map((data) => picture(webp(data))),
      element("span", `${mapWord(layer)} ${channel}`),
      element("span", number(strongest.activation)),
    ], (i) => this.choose({ channel: layer.maps[i].channel, position: layer.maps[i].cells[0].position }));
  }
}

function photoName(name, i, names) { // photos of one name are numbered
  const alike = names.flatMap((other, j) => (other === name ? [j] : []));
  return [alike.length > 1 ? `${name} (${alike.indexOf(i) + 1})` : name];
}

function classButton({ label, probability, share, position }) {
  const bar = element("span", undefined, "bar"), filled = element("i");
  filled.style.width = 100 * probability + "%";
  bar.append(filled);
  const where = share === null ? "" : `${at(position)}; the likeliest in ${percent(share)} of all positions`;
  return [label, element("small", percent(probability) + where), bar];
}

// Groups of units of several layers, each a row of buttons with a picture.
function showGroups(box, groups, layers, words, pick) {
  box.replaceChildren(...groups.map(({ layer: index, units }) => {
    const layer = layers[index], row = element("div", undefined, "group"), buttons = element("div", undefined, "units");
    buttons.setAttribute("role", "group");
    buttons.setAttribute("aria-label", `Units of ${layer.name}`);
    row.append(element("h4", breakable(layer.name)), buttons);
    showButtons(buttons, units, null, (unit) => [
      picture(webp(unit.picture)),
      element("span", `${mapWord(layer)} ${unit.channel}${at(unit.position)}`),
      element("span", words(unit)),
    ], (i) => pick(layer, units[i]));
    moveByArrows(buttons, { press: false });
    return row;
  }));
}
