// Starts a page that holds its own data.

new Page(new EmbeddedSource(JSON.parse($("data").textContent))).start();
