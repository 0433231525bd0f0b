"use strict";
(() => {
  const page = JSON.parse(document.getElementById("data").textContent);
  const $ = (id) => document.getElementById(id);
  const webp = (data) => "data:image/webp;base64," + data;
  const times = (sizes) => sizes.join("×");
  const number = (x) => (x !== 0 && (Math.abs(x) < 0.01 || Math.abs(x) >= 10000) ? x.toExponential(1) : String(+x.toPrecision(3)));
  const percent = (p) => (p < 0.0005 ? "under 0.1 %" : (100 * p).toFixed(p < 0.1 ? 1 : 0) + " %");
  const python = (text) => JSON.stringify(text).replace(/[\u007f-\u{10ffff}]/gu, (c) => {
    const code = c.codePointAt(0).toString(16);
    return code.length > 4 ? "\\U" + code.padStart(8, "0") : "\\u" + code.padStart(4, "0");
  });
  const shell = (text) => (/^[\w.,:@%+=\/-]+$/.test(text) && !text.startsWith("-") ? text : "'" + text.replace(/'/g, "'\\''") + "'");
  const breakable = (name) => name.replace(/[._\/]/g, "$&\u200b"); // long names may be broken there
  const tuple = (numbers) => "(" + numbers.join(", ") + (numbers.length === 1 ? ",)" : ")");

  // What is shown: a photo, and of it a class, or a layer, a map of the layer, and a unit of the map.
  const now = { photo: 0, klass: 0, layer: null, map: 0, cell: 0 };
  const photo = () => page.photos[now.photo];
  const layer = () => (now.layer === null ? null : photo().layers[now.layer]);
  const map = () => layer().maps[now.map];
  const cell = () => map().cells[now.cell];

  function choose(change) {
    Object.assign(now, change);
    show();
    remember();
    if (Object.keys(change).join() !== "cell") bringIntoView(Number.isInteger(change.layer));
  }
  function bringIntoView(list) { // only where what was chosen is out of view, as on a phone
    const above = $("title").getBoundingClientRect().top < 0;
    if (!above && $("pictures").getBoundingClientRect().top < innerHeight - 150) return;
    const still = matchMedia("(prefers-reduced-motion: reduce)").matches;
    const what = list && getComputedStyle($("list")).position === "static" ? $("list") : $("detail");
    what.scrollIntoView({ behavior: still ? "auto" : "smooth" });
  }

  // Lists: one button of each is in the order of Tab; arrow keys move within it.
  function list(box, items, chosen, make, pick) {
    const focused = box.contains(document.activeElement);
    box.replaceChildren(...items.map((item, i) => {
      const button = document.createElement("button");
      button.type = "button";
      button.setAttribute("aria-pressed", String(i === chosen));
      button.tabIndex = i === (chosen ?? 0) ? 0 : -1;
      button.append(...make(item, i));
      button.addEventListener("click", () => pick(i));
      return button;
    }));
    const current = box.children[chosen ?? 0];
    if (!current) return;
    if (focused) current.focus({ preventScroll: true });
    for (let frame = box; frame && frame !== document.body; frame = frame.parentElement) {
      if (frame.scrollHeight > frame.clientHeight || frame.scrollWidth > frame.clientWidth) return reveal(current, frame);
    }
  }
  function reveal(what, frame) {
    const inner = what.getBoundingClientRect(), outer = frame.getBoundingClientRect();
    frame.scrollTop += Math.min(0, inner.top - outer.top) + Math.max(0, inner.bottom - outer.bottom);
    frame.scrollLeft += Math.min(0, inner.left - outer.left) + Math.max(0, inner.right - outer.right);
  }
  for (const id of ["photos", "classes", "layers", "maps", "cells"]) {
    $(id).addEventListener("keydown", (event) => {
      const buttons = [...event.currentTarget.children];
      const at = buttons.indexOf(document.activeElement);
      const steps = { ArrowDown: 1, ArrowRight: 1, ArrowUp: -1, ArrowLeft: -1, Home: -at, End: buttons.length - 1 - at };
      if (at < 0 || !(event.key in steps)) return;
      const next = buttons[at + steps[event.key]];
      event.preventDefault();
      if (next) {
        next.focus();
        next.click();
      }
    });
  }

  function element(name, text, className) {
    const made = document.createElement(name);
    if (text !== undefined) made.textContent = text;
    if (className) made.className = className;
    return made;
  }

  function show() {
    const p = photo();
    $("photo-name").textContent = p.name;
    $("photos").hidden = page.photos.length < 2;
    list($("photos"), page.photos, now.photo, photoName,
      (i) => choose({ photo: i, klass: now.klass === null ? null : 0, map: 0, cell: 0 }));
    list($("classes"), p.classes, now.layer === null ? now.klass : null, classButton,
      (i) => choose({ klass: i, layer: null }));
    list($("layers"), p.layers, now.layer, (one) => [breakable(one.name), element("small", layerWords(one))],
      (i) => choose({ layer: i, klass: null, map: 0, cell: 0 }));
    showMaps();
    showDetail();
  }

  function photoName(one, i) { // photos of one name are numbered
    const alike = page.photos.flatMap((other, j) => (other.name === one.name ? [j] : []));
    return [alike.length > 1 ? `${one.name} (${alike.indexOf(i) + 1})` : one.name];
  }

  function classButton(one) {
    const bar = element("span", undefined, "bar");
    const filled = element("i");
    filled.style.width = 100 * one.probability + "%";
    bar.append(filled);
    const small = element("small", percent(one.probability) + (one.share === null ? "" : ` at ${one.position}; the likeliest in ${percent(one.share)} of all positions`));
    return [one.label, small, bar];
  }

  const layerWords = (one) =>
    `${one.channels} ${one.size.length ? "maps of " + times(one.size) : "units"}, sees ${times(one.field)}`;

  const mapWord = (one) => (one.size.length ? "map" : "unit");
  function showMaps() {
    const one = layer();
    $("list").hidden = one === null;
    if (one === null) return;
    $("list-title").textContent = `${one.size.length ? "Feature maps" : "Units"} of ${breakable(one.name)}`;
    const rest = one.alive > one.maps.length ? `the ${one.maps.length} strongest of the ${one.alive} that respond` : "all that respond";
    $("list-note").textContent = `${rest}, of ${layerWords(one)}`;
    list($("maps"), one.maps, now.map, (m) => {
      const image = element("img");
      image.src = webp(m.cells[0].picture);
      image.alt = "";
      return [image, element("span", `${mapWord(one)} ${m.channel}`), element("span", number(m.cells[0].activation))];
    }, (i) => choose({ map: i, cell: 0 }));
  }

  function showDetail() {
    const p = photo(), one = layer(), unit = one === null ? null : cell(), klass = one === null ? p.classes[now.klass] : null;
    const [height, width] = p.input_size;
    const { box, picture: data } = unit || klass;
    const part = unit || klass.position.length > 0;
    $("title").textContent = unit
      ? `${one.name}, ${mapWord(one)} ${map().channel}${unit.position.length ? " at " + unit.position.join(",") : ""}`
      : klass.label;
    $("subtitle").textContent = unit
      ? `activation ${number(unit.activation)}; the picture shows rows ${box[0]} to ${box[2]} and columns ${box[1]} to ${box[3]} of ${height}×${width}`
      : `class ${klass.index}, ${percent(klass.probability)}${klass.position.length ? ", at " + klass.position.join(",") : ""}`;

    $("photo").src = webp(p.image);
    $("photo").alt = `what the network sees of ${p.name}`;
    const picture = webp(data);
    place($("box"), box, height, width);
    place($("laid"), box, height, width);
    $("laid").src = picture;
    $("laid").hidden = !$("lay").checked;
    $("box").hidden = !part;
    $("projection").src = picture;
    $("projection").alt = `the projection of ${$("title").textContent}`;
    $("patch-figure").hidden = !part;
    if (part) showPatch(p, box);
    $("map-figure").hidden = !(unit && map().image);
    if (unit && map().image) showMap();
    $("whole-figure").hidden = !p.whole;
    if (p.whole) {
      $("whole-photo").src = webp(p.whole);
      $("whole-photo").alt = `the whole photo ${p.name}`;
      place($("seen"), p.seen, 1, 1);
    }
    $("cells").hidden = !unit || map().cells.length < 2;
    list($("cells"), unit ? map().cells.slice(0, Math.max(12, now.cell + 1)) : [], now.cell, (c) => [`${c.position.join(",")}: ${number(c.activation)}`], (i) => choose({ cell: i }));
    showSteps(p, unit || klass, one || klass, box);
    showWords(p, one, unit, klass);
  }

  function place(what, [top, left, bottom, right], height, width) {
    what.style.top = (100 * top) / height + "%";
    what.style.left = (100 * left) / width + "%";
    what.style.height = (100 * (bottom - top)) / height + "%";
    what.style.width = (100 * (right - left)) / width + "%";
  }

  // The patch is a part of the photo's own image: shown as a background that is enlarged and shifted.
  function showPatch(p, [top, left, bottom, right]) {
    const [height, width] = p.input_size, frame = $("patch").parentElement;
    const scale = Math.min(frame.clientWidth / (right - left), frame.clientHeight / (bottom - top));
    Object.assign($("patch").style, {
      width: (right - left) * scale + "px",
      height: (bottom - top) * scale + "px",
      backgroundImage: `url("${webp(p.image)}")`,
      backgroundSize: `${width * scale}px ${height * scale}px`,
      backgroundPosition: `${-left * scale}px ${-top * scale}px`,
    });
    $("patch").setAttribute("aria-label", `the patch of ${p.name}`);
  }

  let drawn = 0;
  function showMap() {
    const one = layer(), shown = map(), [height, width] = one.size, canvas = $("map");
    const scale = Math.max(1, Math.floor(440 / Math.max(height, width)));
    canvas.width = width * scale;
    canvas.height = height * scale;
    canvas.setAttribute("aria-label", `feature map ${shown.channel} of ${one.name}, ${height} by ${width}, unit ${cell().position.join(",")} chosen; arrow keys choose others`);
    $("map-caption").textContent = `map ${shown.channel}: click where it is framed` + (shown.cells.length > 1 ? "" : " (one unit has a picture)");
    const image = new Image(), turn = ++drawn;
    image.onload = () => {
      if (turn !== drawn) return;
      const pen = canvas.getContext("2d");
      pen.imageSmoothingEnabled = false;
      pen.drawImage(image, 0, 0, canvas.width, canvas.height);
      const colour = getComputedStyle(document.body).getPropertyValue("--mark");
      shown.cells.forEach((c) => {
        for (const [style, width] of [["#000000", 4], ["#ffffff", 1.5]]) { // seen on any grey
          pen.strokeStyle = style;
          pen.lineWidth = width;
          pen.strokeRect(c.position[1] * scale + 1, c.position[0] * scale + 1, scale - 2, scale - 2);
        }
      });
      const [y, x] = cell().position;
      pen.strokeStyle = colour;
      pen.lineWidth = 4;
      pen.strokeRect(x * scale, y * scale, scale, scale);
    };
    image.src = webp(shown.image);
  }
  $("map").addEventListener("click", (event) => {
    const frame = $("map").getBoundingClientRect(), [height, width] = layer().size;
    const y = ((event.clientY - frame.top) / frame.height) * height - 0.5;
    const x = ((event.clientX - frame.left) / frame.width) * width - 0.5;
    choose({ cell: nearest((a, b) => Math.hypot(a - y, b - x)) });
  });
  $("map").addEventListener("keydown", (event) => {
    const [y, x] = cell().position;
    const ahead = { ArrowUp: (a) => y - a, ArrowDown: (a) => a - y, ArrowLeft: (a, b) => x - b, ArrowRight: (a, b) => b - x }[event.key];
    if (!ahead) return;
    event.preventDefault();
    const next = nearest((a, b) => (ahead(a, b) > 0 ? Math.hypot(a - y, b - x) + Math.hypot(a - y, b - x) - ahead(a, b) : Infinity));
    if (next !== null) choose({ cell: next });
  });
  function nearest(distance) {
    let best = null, least = Infinity;
    map().cells.forEach((c, i) => {
      const d = distance(...c.position);
      if (d < least) [best, least] = [i, d];
    });
    return best;
  }

  // Tiles of one image, side by side.
  function tile(data, number, count, words) {
    const made = element("div", undefined, "tile");
    made.style.backgroundImage = `url("${webp(data)}")`;
    made.style.backgroundSize = `${100 * count}% 100%`;
    made.style.backgroundPosition = `${count > 1 ? (100 * number) / (count - 1) : 0}% 0`;
    made.setAttribute("role", "img");
    made.setAttribute("aria-label", words);
    return made;
  }
  const wordsOf = (lines) => {
    if (lines.length < 4) return lines.map((line) => element("span", breakable(line)));
    const all = element("details");
    all.append(element("summary", `${lines.length} operations`), ...lines.map((line) => element("span", breakable(line))));
    return [all];
  };
  function showSteps(p, one, { down, how }, box) {
    const steps = down.map((index, i) => {
      const passed = p.passed[index], step = element("div", undefined, "step");
      step.append(
        tile(passed.forward, 0, 1, `${passed.name} on the way up`),
        tile(one.steps, i, down.length, `the signal on ${passed.name}`),
        element("b", breakable(passed.name)),
      );
      const words = how[i + how.length - down.length - 1]; // a unit's own layer has none
      if (words !== undefined) step.append(...wordsOf(p.words[words]));
      return step;
    });
    const pixels = element("div", undefined, "step"), above = element("div", undefined, "tile"), below = above.cloneNode();
    for (const [frame, source, at, words] of [[above, p.image, [0, 0, ...p.input_size], "the photo"], [below, one.picture, box, "the projection"]]) {
      const image = element("img");
      image.src = webp(source);
      image.alt = words;
      place(image, at, ...p.input_size);
      frame.append(image);
    }
    pixels.append(above, below, element("b", "the pixels"), ...wordsOf(p.words[how[how.length - 1]]));
    $("steps").replaceChildren(...steps, pixels);
    $("steps").scrollLeft = 0;
  }

  function showWords(p, one, unit, klass) {
    const flags = page.flags === null ? "" : page.flags && " " + page.flags;
    let call, command;
    if (unit) {
      const where = unit.position.length ? `, position=${tuple(unit.position)}` : "";
      call = `net.project(x, ${python(one.name)}, channel=${map().channel}${where})`;
      command = `deconvnet project ${shell(p.source)} --layer ${shell(one.name)} --channel ${map().channel}` +
        (unit.position.length ? ` --position ${unit.position.join(",")}` : "");
    } else {
      const target = klass.position.length ? tuple([klass.index, ...klass.position]) : klass.index;
      call = `net.explain(x, ${target})`;
      command = `deconvnet explain ${shell(p.source)} --target ${[klass.index, ...klass.position].join(",")}`;
    }
    const given = p.source ? python(p.source) : "photo";
    $("python").textContent = `${page.setup}\n${p.source ? "" : "# photo: your image\n"}` +
      `x = loaded.preprocess.images(${given}).to(loaded.example_input)\n${call}`;
    $("command").textContent = command + flags;
    $("command-box").hidden = page.flags === null || !p.source;
    $("notes").replaceChildren(...[...(one || klass).notes, ...p.notes].map((note) => element("li", note)));
  }

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
  $("lay").addEventListener("change", () => ($("laid").hidden = !$("lay").checked));
  addEventListener("resize", showDetail);

  // The address holds what is shown, so that it can be sent; a frame in a notebook has no address of its own.
  const addressed = /^(file|https?):$/.test(location.protocol);
  function remember() {
    if (!addressed) return;
    const words = now.layer === null ? ["class", photo().classes[now.klass].index]
      : [layer().name, map().channel, ...cell().position];
    history.replaceState(null, "", "#" + [now.photo, ...words].map(encodeURIComponent).join("/"));
  }
  function recall() {
    let words;
    try {
      words = location.hash.slice(1).split("/").map(decodeURIComponent);
    } catch {
      return; // no address of ours
    }
    const [first, second, third, ...at] = words;
    const found = { photo: +first };
    const p = page.photos[found.photo];
    if (!p) return;
    if (second === "class") {
      const klass = p.classes.findIndex((one) => String(one.index) === third);
      if (klass >= 0) Object.assign(now, found, { klass, layer: null });
      return;
    }
    const index = p.layers.findIndex((one) => one.name === second);
    if (index < 0) return;
    const m = Math.max(0, p.layers[index].maps.findIndex((one) => String(one.channel) === third));
    const c = p.layers[index].maps[m].cells.findIndex((one) => one.position.join("/") === at.join("/"));
    Object.assign(now, found, { layer: index, klass: null, map: m, cell: Math.max(c, 0) });
  }
  if (addressed) recall();
  show();
})();
