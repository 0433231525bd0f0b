// Tables that lie beside the pages as scripts, because a page that is opened from a disk may not fetch. Needs dom.js.
//
// A script hands its table over when it is read. A layer in a table is [name, its name in an address, "map" or "unit",
// how many]. The table of a layer's page has lists of what its maps are sorted by; that of a photo's page has its units,
// each [index of its layer, channel, rank, activation].

const waiting = new WeakMap(); // by script, what its table goes to
let pageTable = null; // that of this page

function handOver(table) {
  const resolve = waiting.get(document.currentScript);
  if (resolve) resolve(table);
  else pageTable = table;
}

const loadTable = (address) => new Promise((resolve, reject) => {
  const script = document.createElement("script");
  waiting.set(script, resolve);
  script.onerror = () => reject(new Error(`cannot load ${address}`));
  script.src = address;
  document.head.append(script);
});

const root = document.documentElement.dataset.root;

const layerAddress = ([, safe]) => `${root}layers/${safe}.html`;

const mapAddress = ([, safe], channel) => `${root}maps/${safe}/${channel}.html`;

const photoAddress = ([name, safe = name]) => `${root}photos/${safe}.html`;

const stripAddress = ([, safe], channel, kind) => `${root}pictures/${safe}/${channel}.${kind}.webp`;

// A tile of a strip, which is loaded when it comes near the view.
function stripTile(layer, channel, kind, rank) {
  const frame = element("span", undefined, "tile"), image = element("img", undefined, `at-${rank}`);
  image.loading = "lazy";
  image.alt = "";
  image.src = stripAddress(layer, channel, kind);
  frame.append(image);
  return frame;
}
