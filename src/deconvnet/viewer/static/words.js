// Numbers, names and lines of code as text. Needs nothing.

const times = (sizes) => sizes.join("×");

const number = (x) =>
  x !== 0 && (Math.abs(x) < 0.01 || Math.abs(x) >= 10000) ? x.toExponential(1) : String(+x.toPrecision(3));

const percent = (share) => // as `percent` of the figures
  share > 0 && share < 1e-5 ? "under 0.001 %" : (share < 0.1 ? +(100 * share).toPrecision(2) : (100 * share).toFixed(0)) + " %";

const breakable = (name) => name.replace(/[._\/]/g, "$&\u200b"); // long names may be broken there

const at = (position) => (position.length ? " at " + position.join(",") : "");

const mapWord = (layer) => (layer.size.length ? "map" : "unit");

const layerWords = (layer) =>
  `${layer.channels} ${layer.size.length ? "maps of " + times(layer.size) : "units"}, sees ${times(layer.field)}`;

const tuple = (numbers) => "(" + numbers.join(", ") + (numbers.length === 1 ? ",)" : ")");

// A string as Python writes it, in ASCII.
const pythonText = (text) => JSON.stringify(text).replace(/[\u007f-\u{10ffff}]/gu, (letter) => {
  const code = letter.codePointAt(0).toString(16);
  return code.length > 4 ? "\\U" + code.padStart(8, "0") : "\\u" + code.padStart(4, "0");
});

// A word as a shell reads it.
const shellWord = (text) =>
  /^[\w.,:@%+=\/-]+$/.test(text) && !text.startsWith("-") ? text : "'" + text.replace(/'/g, "'\\''") + "'";
