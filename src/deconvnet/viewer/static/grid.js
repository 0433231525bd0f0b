// A grid of feature maps, or of a photo's units: sorted, in pages, walked through by keys. Needs the table of the page,
// words.js, dom.js and tables.js.
//
// What is chosen stands in the address: "#active/2/both" is sorted by activity, its second page, with both pictures.

const PER_PAGE = 240;
const KINDS = { signal: ["signal"], patch: ["patch"], both: ["signal", "patch"] };

// What a grid is of: its items, which pictures are usual, what each is called, and ways to sort: the name of each, what
// comes first, and words under each picture.
const ofLayer = ({ layers: [layer], max, active, dead, otherUnit }) => {
  const items = Array.from({ length: layer[3] }, (_, channel) => (
    { layer, channel, rank: 0, dead: false, max: max[channel], active: active[channel], otherUnit: otherUnit?.[channel] ?? null }));
  for (const channel of dead) items[channel].dead = true;
  return { items, usual: "signal", name: ({ channel }) => `${layer[2]} ${channel}`, sorts: {
    max: { label: "activation", compare: (a, b) => b.max - a.max, words: (item) => number(item.max) },
    active: { label: "activity", compare: (a, b) => b.active - a.active, words: (item) => percent(item.active) },
    ...(otherUnit && { unlike: {
      label: "unlike other units", compare: (a, b) => (a.otherUnit ?? 2) - (b.otherUnit ?? 2),  // a cosine is 1 at most
      words: (item) => (item.otherUnit === null ? "" : `other unit ${item.otherUnit.toFixed(2)}`),
    } }),
    index: { label: "index", compare: (a, b) => a.channel - b.channel, words: () => "" },
  } };
};

const ofPhoto = ({ layers, units }) => ({
  usual: "both",
  items: units.map(([layer, channel, rank, activation], order) => ({ layer: layers[layer], channel, rank, activation, order })),
  name: ({ layer, channel }) => `${breakable(layer[0])} ${layer[2]} ${channel}`,
  sorts: {
    rank: { label: "rank", compare: (a, b) => a.rank - b.rank || b.order - a.order, words: ({ rank, activation }) => `rank ${rank + 1}: ${number(activation)}` },
    layer: { label: "layer", compare: (a, b) => a.order - b.order, words: ({ rank, activation }) => `rank ${rank + 1}: ${number(activation)}` },
  },
});

class Grid {
  constructor({ items, usual, name, sorts }) {
    Object.assign(this, { items, usual, name, sorts });
    $("sort").append(...Object.entries(sorts).map(([key, { label }]) => new Option(label, key)));
    $("controls").hidden = false;
    $("sort").addEventListener("change", () => this.#go({ page: 0, sort: $("sort").value }));
    $("kind").addEventListener("change", () => this.#go({ kind: $("kind").value }));
    $("size").addEventListener("input", () => this.#resize());
    $("grid").addEventListener("keydown", (event) => this.#move(event));
    addEventListener("hashchange", () => this.#show());
    this.#resize();
    this.#show();
  }

  // What the address says; what it does not say, or says wrongly, is the first.
  get state() {
    const [sort, page, kind] = location.hash.slice(1).split("/"), pages = Math.ceil(this.items.length / PER_PAGE);
    return {
      sort: Object.hasOwn(this.sorts, sort) ? sort : Object.keys(this.sorts)[0],
      page: Math.min(Math.max((parseInt(page, 10) || 1) - 1, 0), pages - 1),
      kind: Object.hasOwn(KINDS, kind) ? kind : this.usual,
      pages,
    };
  }

  #address(change) {
    const { sort, page, kind } = { ...this.state, ...change };
    return `#${sort}/${page + 1}/${kind}`;
  }

  #go(change) {
    location.hash = this.#address(change);
  }

  #resize() {
    $("grid").style.setProperty("--tile", `${$("size").value}px`);
  }

  #show() {
    const { sort, page, kind, pages } = this.state, { compare, words } = this.sorts[sort];
    $("sort").value = sort;
    $("kind").value = kind;
    this.sorted = this.items.toSorted((a, b) => (a.dead ?? 0) - (b.dead ?? 0) || compare(a, b));
    const first = page * PER_PAGE, shown = this.sorted.slice(first, first + PER_PAGE);
    $("grid").replaceChildren(...shown.map((item, i) => this.#cell(item, i, KINDS[kind], words)));
    $("grid").classList.toggle("pairs", kind === "both");
    $("grid-words").textContent = pages > 1 ? `${first + 1} to ${first + shown.length} of ${this.items.length}` : `${this.items.length} in all`;
    this.#showTurns(page, pages);
  }

  #cell(item, i, kinds, words) {
    const link = element("a"), text = item.dead ? "dead" : words(item);
    link.href = mapAddress(item.layer, item.channel);
    link.tabIndex = i ? -1 : 0;
    const tiles = element("span", undefined, "tiles");
    tiles.append(...kinds.map((kind) => (item.dead ? element("span", undefined, "tile dead") : stripTile(item.layer, item.channel, kind, item.rank))));
    link.append(tiles, element("span", this.name(item)), ...(text ? [element("small", text)] : []));
    return link;
  }

  #showTurns(page, pages) {
    const turn = (to, text) => {
      const link = element("a", text);
      link.href = this.#address({ page: to });
      if (to === page && !text.includes(" ")) link.setAttribute("aria-current", "page");
      link.addEventListener("click", () => $("grid").scrollIntoView());
      return link;
    };
    $("turns").hidden = pages < 2;
    $("turns").replaceChildren(
      ...(page > 0 ? [turn(page - 1, "← before")] : []),
      ...Array.from({ length: pages }, (_, i) => turn(i, String(i + 1))),
      ...(page < pages - 1 ? [turn(page + 1, "next →")] : []),
    );
  }

  // Arrow keys move among the cells; those beyond the ends turn the page.
  #move(event) {
    const cells = [...$("grid").children], now = cells.indexOf(document.activeElement);
    if (now < 0) return;
    const across = cells.filter((cell) => cell.offsetTop === cells[0].offsetTop).length;
    const next = { ArrowRight: now + 1, ArrowLeft: now - 1, ArrowDown: now + across, ArrowUp: now - across, Home: 0, End: cells.length - 1 }[event.key];
    if (next === undefined || event.altKey || event.ctrlKey || event.metaKey) return;
    event.preventDefault();
    const { page, pages } = this.state;
    if (cells[next]) return this.#focus(cells, next);
    const turned = page + Math.sign(next - now);
    if (turned < 0 || turned >= pages) return;
    history.pushState(null, "", this.#address({ page: turned }));
    this.#show();
    this.#focus([...$("grid").children], next < 0 ? $("grid").children.length - 1 : 0);
  }

  #focus(cells, next) {
    for (const cell of cells) cell.tabIndex = -1;
    cells[next].tabIndex = 0;
    cells[next].focus();
  }
}

new Grid(pageTable.units ? ofPhoto(pageTable) : ofLayer(pageTable));
