"""Who may ask: requests from elsewhere are refused, and answers say what a page may load. No torch here."""

import secrets
from urllib.parse import parse_qs

from starlette.datastructures import Headers, MutableHeaders
from starlette.responses import JSONResponse, RedirectResponse, Response
from starlette.types import ASGIApp, Message, Receive, Scope, Send

_HEADERS = {
    "content-security-policy": "default-src 'none'; script-src 'self'; style-src 'self'; img-src 'self' data: blob:; "
    "connect-src 'self'; base-uri 'none'; form-action 'none'; frame-ancestors 'none'",
    "x-content-type-options": "nosniff",
    "referrer-policy": "no-referrer",
    "cross-origin-opener-policy": "same-origin",
    "cross-origin-resource-policy": "same-origin",
    "cache-control": "no-store",
}


class Gate:
    """An application behind checks of `Host`, `Origin` and a token, with headers that confine its pages.

    A page of another site may have a browser send requests here. It can neither choose their `Origin`, nor, under a
    name that it had resolved to this address, their `Host`.

    Args:
        app: what is behind it.
        hosts: what `Host` may be; None for anything, which needs a token.
        token: what each request has to show, in a cookie or as ?token=; None for nothing.
        cookie: the cookie's name.
    """

    def __init__(self, app: ASGIApp, *, hosts: frozenset[str] | None, token: str | None, cookie: str) -> None:
        if hosts is None and token is None:
            raise ValueError("a server that answers to any name needs a token")
        self._app, self._hosts, self._token, self._cookie = app, hosts, token, cookie

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Answer a request, or refuse it."""
        if scope["type"] == "lifespan":
            await self._app(scope, receive, send)
            return
        if scope["type"] != "http":
            return

        async def send_confined(message: Message) -> None:
            if message["type"] == "http.response.start":
                headers = MutableHeaders(scope=message)
                for name, value in _HEADERS.items():
                    headers[name] = value
            await send(message)

        answer = self._refusal(scope, Headers(scope=scope)) or self._app
        await answer(scope, receive, send_confined)

    def _refusal(self, scope: Scope, headers: Headers) -> Response | None:
        """What is answered in place of the application; None for what may pass."""
        hosts, origins = headers.getlist("host"), headers.getlist("origin")
        if len(hosts) != 1 or (self._hosts is not None and hosts[0].lower() not in self._hosts):
            return _refused("this server does not answer to that name: open the address that it printed.", 421)
        if any(origin.lower() != f"http://{hosts[0].lower()}" for origin in origins):
            return _refused("the request comes from a page of another site.")
        navigates = headers.get("sec-fetch-mode") == "navigate" and scope["method"] == "GET"
        if headers.get("sec-fetch-site", "none") not in ("same-origin", "none") and not navigates:
            return _refused("the request comes from a page of another site.")
        return None if self._token is None else self._without_token(scope, headers, self._token)

    def _without_token(self, scope: Scope, headers: Headers, token: str) -> Response | None:
        query = parse_qs(scope["query_string"].decode("latin-1"), max_num_fields=20).get("token", [""])[0]
        if _equal(query, token) and scope["method"] == "GET" and scope["path"] == "/":
            response = RedirectResponse("/", 303)  # so that the token does not stand in the address
            response.set_cookie(self._cookie, token, httponly=True, samesite="strict", path="/")
            return response
        if _equal(query, token) or _equal(_cookies(headers).get(self._cookie, ""), token):
            return None
        return _refused("the token is missing or wrong: open the address that the server printed.", 401)


def _equal(text: str, token: str) -> bool:
    return secrets.compare_digest(text.encode("utf-8", "surrogatepass"), token.encode())


def _cookies(headers: Headers) -> dict[str, str]:
    pairs = (pair.strip().partition("=") for line in headers.getlist("cookie") for pair in line.split(";"))
    return {name: value for name, _, value in pairs}


def _refused(words: str, status: int = 403) -> Response:
    return JSONResponse({"error": words}, status)
