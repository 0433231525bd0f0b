// A feature map's page: keys turn to the maps beside it, and a picture is marked in both blocks. Needs dom.js, search.js.

addEventListener("keydown", (event) => {
  if (isTyping(event.target) || event.target.closest("#results") || event.altKey || event.ctrlKey || event.metaKey) return;
  if (event.key === "ArrowLeft") $("before")?.click();
  if (event.key === "ArrowRight") $("after")?.click();
  if (event.key === "Escape") document.querySelectorAll(".path a")[1].click();
});

// A picture and its counterpart, and the row that tells of them.
function mark(rank) {
  for (const other of document.querySelectorAll("[data-rank]")) other.classList.toggle("marked", other.dataset.rank === rank);
}

for (const link of document.querySelectorAll("[data-rank]")) {
  for (const type of ["pointerenter", "focus"]) link.addEventListener(type, () => mark(link.dataset.rank));
  for (const type of ["pointerleave", "blur"]) link.addEventListener(type, () => mark(null));
}
