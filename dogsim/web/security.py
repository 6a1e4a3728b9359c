"""What keeps the page safe: who may ask, from where, and what a browser may do with the answer.

Another page in the same browser must neither read nor ask anything here: not by a form or a script
(`OWN_HEADER`, which no page can send elsewhere without being allowed to), not by a picture or a
frame (`HEADERS`), not by a name that leads to this address (TrustedHostMiddleware of Starlette).
"""

import secrets
from http.cookies import CookieError, SimpleCookie

from starlette.datastructures import URL, Headers, MutableHeaders, QueryParams
from starlette.responses import JSONResponse, RedirectResponse, Response
from starlette.types import ASGIApp, Message, Receive, Scope, Send

OWN_HEADER = "x-dogsim"  # of every POST
COOKIE = "dogsim-token"
HEADERS = {
    "content-security-policy": "default-src 'self'; base-uri 'none'; form-action 'none'; "
    "frame-ancestors 'none'; object-src 'none'",
    "cross-origin-resource-policy": "same-origin",
    "cross-origin-opener-policy": "same-origin",
    "referrer-policy": "no-referrer",
    "x-content-type-options": "nosniff",
    "x-frame-options": "DENY",
}


class SafeAnswers:
    """Tells the browser with every answer what it must not do with it."""

    def __init__(self, app: ASGIApp) -> None:
        self.app = app

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Pass a request on, and add headers to its answer."""

        async def send_safely(message: Message) -> None:
            if message["type"] == "http.response.start":
                headers = MutableHeaders(scope=message)
                for name, value in HEADERS.items():
                    headers.setdefault(name, value)
                headers.setdefault("cache-control", "no-store")
            await send(message)

        await self.app(scope, receive, send_safely)


class OwnRequests:
    """Lets only those change anything who can send a header of their own."""

    def __init__(self, app: ASGIApp) -> None:
        self.app = app

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Pass a request on, or refuse it."""
        reads = scope["type"] != "http" or scope["method"] in ("GET", "HEAD")
        own = reads or Headers(scope=scope).get(OWN_HEADER)
        answer = self.app if own else refusal(403, "A POST needs the header X-Dogsim: 1.")
        await answer(scope, receive, send)


class TokenOnly:
    """Lets in who knows the token: by a header, a cookie, or once by the address, ?token=..."""

    def __init__(self, app: ASGIApp, token: str) -> None:
        self.app, self.token = app, token

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Pass a request on, or refuse it."""
        if scope["type"] != "http":
            await self.app(scope, receive, send)
            return
        headers, url = Headers(scope=scope), URL(scope=scope)
        scheme, _, given = headers.get("authorization", "").partition(" ")
        answer: ASGIApp = refusal(401, "This page needs its token. Open it as http://...?token=T.")
        if self._is_right(given if scheme.lower() == "bearer" else _cookie(headers)):
            answer = self.app
        elif scope["method"] == "GET" and self._is_right(_given_by(scope)):
            answer = self._let_in(url)
        await answer(scope, receive, send)

    def _is_right(self, given: str) -> bool:
        return secrets.compare_digest(given.encode(), self.token.encode())

    def _let_in(self, url: URL) -> Response:
        """Keep the token in a cookie, out of the address and the browser's history."""
        answer = RedirectResponse(f"/?{url.remove_query_params('token').query}".rstrip("?"), 303)
        answer.set_cookie(COOKIE, self.token, httponly=True, samesite="strict")
        return answer


def refusal(status: int, why: str, retry: bool = False) -> JSONResponse:
    """Answer that something is not done, and why."""
    return JSONResponse({"error": why}, status, {"retry-after": "1"} if retry else None)


def _cookie(headers: Headers) -> str:
    try:
        found = SimpleCookie(headers.get("cookie", "")).get(COOKIE)
    except CookieError:
        return ""
    return found.value if found else ""


def _given_by(scope: Scope) -> str:
    return QueryParams(scope["query_string"]).get("token", "")
