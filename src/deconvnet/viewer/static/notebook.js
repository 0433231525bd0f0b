// A cell of a notebook: the bench's page in a frame of its own, so that neither can disturb the other's names and styles,
// and the messages between it and the kernel. The only module; see framed.js for the other side.

export default {
  render({ model, el }) {
    const frame = document.createElement("iframe");
    frame.title = "The bench";
    frame.setAttribute("sandbox", "allow-scripts allow-downloads");
    Object.assign(frame.style, { width: "100%", height: "80vh", border: "1px solid #999" });
    frame.srcdoc = model.get("page");
    const toKernel = ({ source, data }) => {
      if (source !== frame.contentWindow) return;
      const { id, what, question, bytes } = data;
      model.send({ id, what, question }, undefined, bytes ? [bytes] : []);
    };
    const toFrame = (message) => frame.contentWindow?.postMessage(message, "*");
    addEventListener("message", toKernel);
    model.on("msg:custom", toFrame);
    el.append(frame);
    return () => {
      removeEventListener("message", toKernel);
      model.off("msg:custom", toFrame);
    };
  },
};
