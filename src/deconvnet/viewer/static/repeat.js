// The lines that make a picture again, and what a reader should know. Needs words.js and dom.js.

class Repeat {
  constructor() {
    for (const button of document.querySelectorAll("[data-copy]")) {
      button.addEventListener("click", async () => {
        const text = $(button.dataset.copy);
        try {
          await navigator.clipboard.writeText(text.textContent);
          button.textContent = "copied";
        } catch {
          getSelection().selectAllChildren(text);
          button.textContent = "selected";
        }
        setTimeout(() => (button.textContent = "copy"), 1500);
      });
    }
  }

  // `shown` is a unit, or a class where there is no layer.
  show(about, photo, layer, map, shown) {
    const { call, words } = layer ? unitCall(layer, map, shown) : classCall(shown);
    const given = photo.source ? pythonText(photo.source) : "photo";
    $("python").textContent = `${about.setup}\n${photo.source ? "" : "# photo: your image\n"}` +
      `x = loaded.preprocess.images(${given}).to(loaded.example_input)\n${hiding(photo.hidden)}${call}`;
    const [command, ...rest] = words;
    $("command").textContent = `deconvnet ${command} ${shellWord(photo.source)} ${rest.join(" ")}` +
      (about.flags ? " " + about.flags : "");
    $("command-box").hidden = about.flags === null || !photo.source || Boolean(photo.hidden?.length);
    $("notes").replaceChildren(...[...(shown.notes ?? layer.notes), ...photo.notes].map((note) => element("li", note)));
  }
}

// The lines that cover what a brush covered, in discs; see brush.js.
function hiding(discs) {
  if (!discs?.length) return "";
  return "import torch\n" +
    'rows, columns = torch.meshgrid(*(torch.arange(n, dtype=torch.float64) + 0.5 for n in x.shape[2:]), indexing="ij")\n' +
    `for row, column, radius in [${discs.map(tuple).join(", ")}]:\n` +
    "    x[..., (rows - row) ** 2 + (columns - column) ** 2 <= radius**2] = 0\n";
}

function unitCall(layer, { channel }, { position }) {
  const where = position.length ? `, position=${tuple(position)}` : "";
  return {
    call: `net.project(x, ${pythonText(layer.name)}, channel=${channel}${where})`,
    words: ["project", "--layer", shellWord(layer.name), "--channel", channel,
      ...(position.length ? ["--position", position.join(",")] : [])],
  };
}

function classCall({ index, position, target }) {
  return {
    call: `net.explain(x, ${position.length ? tuple([index, ...position]) : index})`,
    words: ["explain", "--target", target],
  };
}
