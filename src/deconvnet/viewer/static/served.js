// A bench behind the address that this page came from. Each choice of the visitor is a turn: the requests of an earlier
// one are given up, here and by the bench. Needs source.js and bench.js.
class HttpBench {
  #turn = Date.now();
  #given = new AbortController();
  visitor = visitorOf(sessionStorage);

  begin() {
    this.#turn += 1;
    this.#given.abort();
    this.#given = new AbortController();
  }

  async photos() {
    return (await this.#fetch("/photos", { method: "GET" })).photos;
  }

  async ask(what, question, words) {
    return this.#fetch(`/ask/${what}`, json(question), words, this.#given.signal);
  }

  async sample(name) {
    return this.#fetch("/samples", json({ sample: name }), `the classes of ${name}`);
  }

  async send(file) {
    const headers = { "X-Name": encodeURIComponent(file.name ?? "photo") };
    return this.#fetch("/photos", { method: "POST", body: file, headers }, `the classes of ${file.name ?? "the photo"}`);
  }

  async #fetch(address, options, words = "", signal = undefined) {
    const headers = { ...options.headers, "X-Visitor": this.visitor, "X-Turn": String(this.#turn) };
    this.tell(words && `computing ${words} …`);
    try {
      const response = await fetch(address, { ...options, headers, signal });
      const answer = await response.json();
      if (response.ok) return answer;
      throw Object.assign(new SourceError(answer.error), { gone: answer.gone });
    } catch (fault) {
      if (fault instanceof SourceError) throw fault;
      throw new SourceError(fault.name === "AbortError" ? "something newer was asked for" : "the bench does not answer: is it still running?");
    } finally {
      if (!signal?.aborted) this.tell("");
    }
  }
}

const json = (value) => ({ method: "POST", body: JSON.stringify(value), headers: { "Content-Type": "application/json" } });

// A name that only this tab has, so that it finds its photos again when it is loaded anew.
function visitorOf(storage) {
  const made = () => Array.from(crypto.getRandomValues(new Uint8Array(16)), (byte) => byte.toString(16).padStart(2, "0")).join("");
  const visitor = storage.getItem("visitor") ?? made();
  storage.setItem("visitor", visitor);
  return visitor;
}

new BenchPage(JSON.parse($("data").textContent), new HttpBench()).start();
