// The search of these pages runs in a Worker, which browsers refuse to pages that were opened from the disk. There, a
// hidden frame runs its script instead; it has what the script uses of a Worker, and nothing more.
if (location.protocol === "file:") {
  window.Worker = class extends EventTarget {
    #ready;

    constructor(address) {
      super();
      const frame = document.createElement("iframe");
      frame.hidden = true;
      frame.title = "search";
      document.body.append(frame);
      const inside = frame.contentWindow;
      const load = (source) =>
        new Promise((loaded, failed) => {
          const script = inside.document.createElement("script");
          Object.assign(script, { src: source, onload: loaded, onerror: failed });
          inside.document.head.append(script);
        });
      inside.importScripts = async (...sources) => {
        for (const source of sources) await load(source);
      };
      inside.postMessage = (data) => this.#say(this, data);
      this.#ready = load(new URL(address, location.href)).then(() => inside);
      this.#ready.catch(() => this.dispatchEvent(new Event("error")));
    }

    postMessage(data) {
      this.#ready.then((inside) => this.#say(inside, data));
    }

    terminate() {}

    #say(target, data) {
      const message = new MessageEvent("message", { data });
      target.dispatchEvent(message);
      target.onmessage?.(message);
    }
  };
}
