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

  show(about, photo, layer, map, cell, klass) {
    const { call, words } = cell ? unitCall(layer, map, cell) : classCall(klass);
    const given = photo.source ? pythonText(photo.source) : "photo";
    $("python").textContent = `${about.setup}\n${photo.source ? "" : "# photo: your image\n"}` +
      `x = loaded.preprocess.images(${given}).to(loaded.example_input)\n${call}`;
    const [command, ...rest] = words;
    $("command").textContent = `deconvnet ${command} ${shellWord(photo.source)} ${rest.join(" ")}` +
      (about.flags ? " " + about.flags : "");
    $("command-box").hidden = about.flags === null || !photo.source;
    $("notes").replaceChildren(...[...(layer ?? klass).notes, ...photo.notes].map((note) => element("li", note)));
  }
}

function unitCall(layer, { channel }, { position }) {
  const where = position.length ? `, position=${tuple(position)}` : "";
  return {
    call: `net.project(x, ${pythonText(layer.name)}, channel=${channel}${where})`,
    words: ["project", "--layer", shellWord(layer.name), "--channel", channel,
      ...(position.length ? ["--position", position.join(",")] : [])],
  };
}

function classCall({ index, position }) {
  return {
    call: `net.explain(x, ${position.length ? tuple([index, ...position]) : index})`,
    words: ["explain", "--target", [index, ...position].join(",")],
  };
}
