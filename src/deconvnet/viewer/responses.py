"""Answers of a server: files by their kind, JSON, and what went wrong in words. No torch here."""

from starlette.responses import Response

from deconvnet.viewer.pages import as_json

KINDS = {".css": "text/css", ".html": "text/html", ".js": "text/javascript", ".webp": "image/webp"}


def as_response(answer: object) -> Response:
    """An answer as JSON."""
    return Response(as_json(answer), media_type="application/json")


def failed(words: str, status: int, **more: bool) -> Response:
    """What went wrong, and whatever else a page should know of it."""
    return Response(as_json({"error": words, **more}), status, media_type="application/json")
