"""The bench as a widget of Jupyter, which is imported with this module and nowhere else."""

from typing import Any

import anywidget
import traitlets

from deconvnet._errors import DeconvNetError
from deconvnet.viewer.answers import Answers
from deconvnet.viewer.bench import Bench
from deconvnet.viewer.pages import as_json, bench_html
from deconvnet.viewer.photo_store import PhotoGoneError
from deconvnet.viewer.rendering import static_text

VISITOR = "notebook"


class BenchWidget(anywidget.AnyWidget):
    """A bench in the cell of a notebook.

    Args:
        bench: what answers.
    """

    _esm = static_text("notebook.js")
    page = traitlets.Unicode().tag(sync=True)

    def __init__(self, bench: Bench) -> None:
        super().__init__(page=bench_html(bench.title, bench.about(), framed=True))
        self._bench, self._answers = bench, Answers(bench)
        self.on_msg(lambda _, content, buffers: self.send(self.answer(content, buffers)))

    def __repr__(self) -> str:
        return f"<BenchWidget of {self._bench.title}>"

    def answer(self, content: Any, buffers: Any) -> dict[str, Any]:
        """The answer to a message of the page: with its id, and what it asks for as JSON, or what went wrong.

        Args:
            content: id, what is asked, and the question.
            buffers: the bytes of a photo, if one is brought.
        """
        request = content if isinstance(content, dict) else {}
        what, question = str(request.get("what")), str(request.get("question"))
        head = {"id": request.get("id")}
        try:
            return {**head, "answer": as_json(self._asked(what, question, buffers))}
        except PhotoGoneError as error:
            return {**head, "error": str(error), "gone": True}
        except DeconvNetError as error:
            return {**head, "error": str(error)}

    def _asked(self, what: str, question: str, buffers: Any) -> object:
        if what == "photos":
            return self._bench.of(VISITOR)
        if what == "sample":
            return self._bench.put(self._bench.sample(question), VISITOR)
        if what == "photo":
            data = bytes(buffers[0]) if buffers else b""
            return self._bench.put(self._bench.read(data, question), VISITOR)
        return self._answers.answer(what, question.encode())
