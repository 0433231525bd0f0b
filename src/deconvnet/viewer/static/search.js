// The search: layers, maps and photos whose names hold all words. Needs dom.js and tables.js.

class Search {
  #table = null; // a promise, when it has been asked for

  constructor() {
    const query = $("query"), results = $("results");
    query.addEventListener("input", () => this.#show(query.value));
    query.addEventListener("focus", () => this.#load());
    query.addEventListener("keydown", (event) => this.#move(event, -1));
    results.addEventListener("keydown", (event) => this.#move(event, [...this.#links()].indexOf(document.activeElement)));
    addEventListener("keydown", (event) => {
      if (event.key !== "/" || isTyping(event.target)) return;
      event.preventDefault();
      query.focus();
    });
    document.addEventListener("click", (event) => {
      if (!event.target.closest("[role=search]")) results.hidden = true;
    });
    if (query.value) this.#show(query.value); // what the browser has kept
  }

  #load() {
    return (this.#table ??= loadTable($("query").dataset.table));
  }

  #links() {
    return $("results").querySelectorAll("a");
  }

  #move(event, now) {
    const links = this.#links(), next = { ArrowDown: now + 1, ArrowUp: now - 1 }[event.key];
    if (event.key === "Escape") {
      $("query").value = "";
      $("query").focus();
      this.#show("");
    } else if (event.key === "Enter" && now < 0 && links.length) {
      links[0].click();
    } else if (next !== undefined && !$("results").hidden) {
      event.preventDefault();
      (links[next] ?? (next < 0 ? $("query") : links[now]))?.focus();
    }
  }

  async #show(text) {
    const words = text.toLowerCase().split(/[\s/]+/).filter(Boolean);
    const { layers, photos } = words.length ? await this.#load() : { layers: [], photos: [] };
    if ($("query").value !== text) return; // a newer search is on its way
    const matches = [...layersOf(layers, words), ...mapsOf(layers, words), ...photosOf(photos, words)];
    $("results").replaceChildren(...matches.slice(0, MOST_RESULTS).map(({ kind, name, address }) => {
      const item = element("li"), link = element("a", name);
      link.href = address;
      item.append(link, " ", element("span", kind, "quiet"));
      return item;
    }));
    $("results").dataset.query = text;
    $("results").hidden = !matches.length;
    const more = matches.length > MOST_RESULTS ? `, first ${MOST_RESULTS} listed` : "";
    $("result-count").textContent = words.length ? `${matches.length} result${matches.length === 1 ? "" : "s"}${more}` : "";
  }
}

const MOST_RESULTS = 40;

const isTyping = (target) => /^(INPUT|SELECT|TEXTAREA)$/.test(target.tagName);

const holdsAll = (name, words) => words.every((word) => name.toLowerCase().includes(word));

const layersOf = (layers, words) => layers.filter(([name]) => holdsAll(name, words))
  .map((layer) => ({ kind: "layer", name: layer[0], address: layerAddress(layer) }));

// The last word is the index of a map, the others are of its layer.
function mapsOf(layers, words) {
  const channel = words.at(-1);
  if (!/^\d+$/.test(channel ?? "")) return [];
  const others = words.slice(0, -1).filter((word) => word !== "map" && word !== "unit");
  return layers.filter(([name, , , count]) => +channel < count && holdsAll(name, others)).map((layer) => (
    { kind: layer[2], name: `${layer[0]}, ${layer[2]} ${+channel}`, address: mapAddress(layer, +channel) }));
}

const photosOf = (photos, words) => photos.filter(([name]) => words.length && holdsAll(name, words))
  .map((photo) => ({ kind: "photo", name: photo[0], address: photoAddress(photo) }));

new Search();
