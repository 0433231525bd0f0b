// What is shown, and the address that says so. Needs nothing.
//
// A state is {photo, klass, layer, channel, position}: indices of the photo and of a class (or null), or the name of a
// layer, the channel of its map and the position of a unit. Its address is "#0/class/281" or "#0/relu5/37/4/6".

function addressOf(state, photo) {
  const words = state.layer === null ? ["class", photo.classes[state.klass].index]
    : [state.layer, state.channel, ...state.position];
  return "#" + [state.photo, ...words].map(encodeURIComponent).join("/");
}

// The state of an address, or null if it is none of ours; `photoOf(index)` gives a photo, or nothing, and
// `classOf(photo, number)` the index of a class that is not among those of the photo yet, or -1.
async function stateOf(address, photoOf, classOf) {
  let words;
  try {
    words = address.slice(1).split("/").map(decodeURIComponent);
  } catch {
    return null;
  }
  const [first, second, third, ...position] = words;
  const photo = /^\d+$/.test(first) && (await photoOf(+first));
  if (!photo) return null;
  if (second === "class") {
    const shown = photo.classes.findIndex((one) => String(one.index) === third);
    const klass = shown < 0 ? await classOf(+first, third) : shown;
    return klass < 0 ? null : { photo: +first, klass, layer: null, channel: null, position: [] };
  }
  if (!photo.layers.some((layer) => layer.name === second)) return null;
  const channel = third === undefined ? null : +third;
  return { photo: +first, klass: null, layer: second, channel, position: position.map(Number) };
}

// Keeps the address and the browser's history. A frame in a notebook has no address of its own.
class History {
  #addressed = /^(file|https?):$/.test(location.protocol);

  constructor(whenMoved) {
    if (this.#addressed) addEventListener("popstate", () => whenMoved(location.hash));
  }

  get address() {
    return this.#addressed ? location.hash : "";
  }

  // A new entry, or another address for the present one.
  remember(address, { replace }) {
    if (!this.#addressed || address === location.hash) return;
    if (replace) history.replaceState(null, "", address);
    else history.pushState(null, "", address);
  }
}
