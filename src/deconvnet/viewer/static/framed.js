// A bench in the kernel of a notebook, asked by messages to the page around this frame; see notebook.js. The kernel does
// one thing at a time, so what waits is held here, where it can be given up. Needs source.js and bench.js.

class FramedBench {
  #waiting = [];
  #current = null;
  #count = 0;
  #name = Array.from(crypto.getRandomValues(new Uint8Array(8)), (byte) => byte.toString(16)).join(""); // of this frame
  visitor = "";

  constructor() {
    addEventListener("message", ({ source, data }) => source === parent && this.#receive(data));
  }

  begin() {
    const left = this.#waiting.filter(({ photo }) => !photo);
    this.#waiting = this.#waiting.filter(({ photo }) => photo);
    for (const { fail } of left) fail(new SourceError("something newer was asked for"));
  }

  async photos() {
    return this.#ask({ what: "photos", photo: true }, "");
  }

  async ask(what, question, words) {
    return this.#ask({ what, question: JSON.stringify(question) }, words);
  }

  async sample(name) {
    return this.#ask({ what: "sample", question: name, photo: true }, `the classes of ${name}`);
  }

  async send(file) {
    const name = file.name ?? "photo";
    return this.#ask({ what: "photo", question: name, bytes: await file.arrayBuffer(), photo: true }, `the classes of ${name}`);
  }

  #ask(request, words) {
    return new Promise((done, fail) => {
      this.#waiting.push({ ...request, id: `${this.#name}-${++this.#count}`, words, done, fail });
      this.#next();
    });
  }

  #next() {
    if (this.#current) return;
    this.#current = this.#waiting.shift() ?? null;
    this.tell(this.#current?.words ? `computing ${this.#current.words} …` : "");
    if (!this.#current) return;
    const { id, what, question = "", bytes } = this.#current;
    parent.postMessage({ id, what, question, bytes }, "*");
  }

  #receive({ id, answer, error, gone }) {
    if (!this.#current || id !== this.#current.id) return; // of another frame
    const { done, fail } = this.#current;
    this.#current = null;
    if (error === undefined) done(JSON.parse(answer));
    else fail(Object.assign(new SourceError(error), { gone }));
    queueMicrotask(() => this.#next());
  }
}

new BenchPage(JSON.parse($("data").textContent), new FramedBench()).start();
