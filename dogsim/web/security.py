"""Middleware that protects the page from other pages, other machines and unauthorized users.

Another page in the same browser must neither read nor change anything here: not by a form or a
script (`CSRF_HEADER`, which a browser sends to other origins only if they allow it), not by an
embedded image or frame (`SECURITY_HEADERS`), not by a host name that resolves to this address
(TrustedHostMiddleware of Starlette).
"""

import secrets

from starlette.datastructures import URL, Headers, MutableHeaders
from starlette.requests import HTTPConnection
from starlette.responses import JSONResponse, RedirectResponse, Response
from starlette.types import ASGIApp, Message, Receive, Scope, Send

CSRF_HEADER = "x-dogsim"  # required in every POST
TOKEN_COOKIE = "dogsim-token"
SECURITY_HEADERS = {
    "content-security-policy": "default-src 'self'; base-uri 'none'; form-action 'none'; "
    "frame-ancestors 'none'; object-src 'none'",
    "cross-origin-resource-policy": "same-origin",
    "cross-origin-opener-policy": "same-origin",
    "referrer-policy": "no-referrer",
    "x-content-type-options": "nosniff",
    "x-frame-options": "DENY",
}


class SecurityHeadersMiddleware:
    """Middleware that adds `SECURITY_HEADERS`, and forbids caching unless a route allows it."""

    def __init__(self, app: ASGIApp) -> None:
        self.app = app

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Handle a request and add the headers to its response."""

        async def send_with_headers(message: Message) -> None:
            if message["type"] == "http.response.start":
                headers = MutableHeaders(scope=message)
                for name, value in SECURITY_HEADERS.items():
                    headers.setdefault(name, value)
                headers.setdefault("cache-control", "no-store")
            await send(message)

        await self.app(scope, receive, send_with_headers)


class CsrfMiddleware:
    """Middleware for CSRF protection: a state-changing request needs `CSRF_HEADER`."""

    def __init__(self, app: ASGIApp) -> None:
        self.app = app

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Pass the request on or reject it."""
        reads = scope["type"] != "http" or scope["method"] in ("GET", "HEAD")
        allowed = reads or Headers(scope=scope).get(CSRF_HEADER)
        app = self.app if allowed else error_response(403, "A POST needs the header X-Dogsim: 1.")
        await app(scope, receive, send)


class TokenMiddleware:
    """Middleware that requires the token in a header, a cookie or, once, the query ?token=..."""

    def __init__(self, app: ASGIApp, token: str) -> None:
        self.app, self.token = app, token

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Pass the request on, exchange the token of its URL for a cookie, or reject it."""
        await self._app_for(scope)(scope, receive, send)

    def _app_for(self, scope: Scope) -> ASGIApp:
        if scope["type"] != "http":
            return self.app
        request = HTTPConnection(scope)
        if self._is_valid(_sent_token(request)):
            return self.app
        if scope["method"] == "GET" and self._is_valid(request.query_params.get("token", "")):
            return self._cookie_response(request.url)
        return error_response(401, "This page needs its token. Open it as http://...?token=T.")

    def _is_valid(self, token: str) -> bool:
        return secrets.compare_digest(token.encode(), self.token.encode())

    def _cookie_response(self, url: URL) -> Response:
        """Set the cookie and redirect to the URL without token, so that no history shows it."""
        query = url.remove_query_params("token").query
        response = RedirectResponse(f"/?{query}".rstrip("?"), 303)
        response.set_cookie(TOKEN_COOKIE, self.token, httponly=True, samesite="strict")
        return response


def error_response(status: int, message: str, retry: bool = False) -> JSONResponse:
    """Return a response with an error message; `retry` asks to send the request again in 1 s."""
    return JSONResponse({"error": message}, status, {"retry-after": "1"} if retry else None)


def _sent_token(request: HTTPConnection) -> str:
    """Return the token of the Authorization header, else of the cookie, else ""."""
    scheme, _, token = request.headers.get("authorization", "").partition(" ")
    return token if scheme.lower() == "bearer" else request.cookies.get(TOKEN_COOKIE, "")
