// Elements, pictures, and lists of buttons. Needs nothing.

const $ = (id) => document.getElementById(id);

const webp = (data) => "data:image/webp;base64," + data;

function element(name, text, className) {
  const made = document.createElement(name);
  if (text !== undefined) made.textContent = text;
  if (className) made.className = className;
  return made;
}

function picture(source, words = "") {
  const made = element("img");
  made.src = source;
  made.alt = words;
  return made;
}

// Lays an element over a picture of so many rows and columns.
function place(what, [top, left, bottom, right], height, width) {
  what.style.top = (100 * top) / height + "%";
  what.style.left = (100 * left) / width + "%";
  what.style.height = (100 * (bottom - top)) / height + "%";
  what.style.width = (100 * (right - left)) / width + "%";
}

// One of several square tiles that lie side by side in one picture.
function tile(data, index, count, words) {
  const frame = element("span", undefined, "tile"), image = picture(webp(data), words);
  image.style.width = 100 * count + "%";
  image.style.left = -100 * index + "%";
  frame.append(image);
  return frame;
}

// A list of buttons, of which one is chosen and in the order of Tab.
function showButtons(box, items, chosen, make, pick) {
  const focused = box.contains(document.activeElement);
  box.replaceChildren(...items.map((item, i) => {
    const button = element("button");
    button.type = "button";
    button.setAttribute("aria-pressed", String(i === chosen));
    button.tabIndex = i === (chosen ?? 0) ? 0 : -1;
    button.append(...make(item, i, items));
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

// Arrow keys, Home and End move among the buttons of a box, and press the one that they come to.
function moveByArrows(box, { press = true } = {}) {
  box.addEventListener("keydown", (event) => {
    const buttons = [...box.querySelectorAll("button")], now = buttons.indexOf(document.activeElement);
    const moves = { ArrowDown: 1, ArrowRight: 1, ArrowUp: -1, ArrowLeft: -1, Home: -now, End: buttons.length - 1 - now };
    if (now < 0 || !(event.key in moves)) return;
    event.preventDefault();
    const next = buttons[now + moves[event.key]];
    if (!next) return;
    buttons[now].tabIndex = -1;
    next.tabIndex = 0;
    next.focus();
    if (press) next.click();
  });
}

