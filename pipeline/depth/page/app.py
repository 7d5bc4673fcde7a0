"""The page's web application; to be served behind a door on loopback."""

import json
import threading
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from urllib.parse import parse_qsl, quote

import cv2
import jinja2
import numpy as np
from PIL import Image
from starlette.applications import Starlette
from starlette.concurrency import run_in_threadpool
from starlette.requests import ClientDisconnect, Request
from starlette.responses import HTMLResponse, JSONResponse, PlainTextResponse, Response
from starlette.routing import Mount, Route
from starlette.staticfiles import StaticFiles

from pipeline.depth.page.photos import (
    DRAFT_EDGE_PX,
    F_NUMBERS,
    FOCAL_MM,
    MOST_PERCENT,
    SCREEN_EDGE_PX,
    OpenPhoto,
    PagePhotos,
    Setting,
)
from pipeline.depth.units import DepthError
from pipeline.errors import BokehflowError
from pipeline.loopback.guard import Guard, StalePage, Token
from pipeline.pillow import as_file

TOKEN_HEADER = "x-refocus-token"
TOLD_HEADER, OPENNESS_HEADER = "x-refocus-told", "x-refocus-openness"
MAX_FORM_BYTES = 1000
MAX_NAME_CHARACTERS = 120
JPEG_QUALITY = 92
PNG_LEVEL = 3
HEADERS: Mapping[str, str] = {
    "content-security-policy": "default-src 'none'; img-src 'self' blob:; style-src 'self'; script-src 'self'; "
    "connect-src 'self'; form-action 'none'; base-uri 'none'; frame-ancestors 'none'",
}
"""No script but our own file, nothing from elsewhere; `blob:` is what the script was given by this page."""


@dataclass(frozen=True)
class RefocusPage:
    """What the application needs: the photos, the page's port, the strength it begins with, and how large a file may be.

    `back` is the address of the page that it is part of, if any.
    """

    photos: PagePhotos
    port: int
    percent: float
    max_file_bytes: int
    back: str = ""
    one_at_a_time: threading.Lock = field(default_factory=threading.Lock)
    token: Token = field(default_factory=Token)


def make_refocus_app(page: RefocusPage) -> Guard:
    """The ASGI application, guarded against other sites."""
    handlers = _Handlers(page)
    application = Starlette(
        routes=[
            Route("/", handlers.index),
            Route("/photos", handlers.photos),
            Route("/photos", handlers.drop, methods=["POST"]),
            Route("/photo/{key}", handlers.photo),
            Route("/photo/{key}/seen", handlers.seen),
            Route("/photo/{key}/depth", handlers.depth),
            Route("/photo/{key}/full", handlers.full, methods=["POST"]),
            Mount("/static", StaticFiles(packages=[("pipeline.depth.page", "static")])),
            Mount("/look", StaticFiles(packages=[("pipeline.curation.review", "static")])),
        ],
        exception_handlers={BokehflowError: _explain, KeyError: _unknown, ClientDisconnect: _give_up},
    )
    return Guard(application, page.port, page.max_file_bytes, HEADERS)


class _Handlers:
    """The routes; each reads the request and asks the photos. One picture is made at a time."""

    def __init__(self, page: RefocusPage) -> None:
        self.page = page
        self.template = jinja2.Environment(
            loader=jinja2.PackageLoader("pipeline.depth.page"), autoescape=True, undefined=jinja2.StrictUndefined
        ).get_template("refocus.html")

    def index(self, request: Request) -> Response:
        page = self.page
        return HTMLResponse(
            self.template.render(
                token=page.token.value,
                percent=page.percent,
                most_percent=MOST_PERCENT,
                max_file_bytes=page.max_file_bytes,
                takes_files=page.photos.estimate is not None,
                f_numbers=F_NUMBERS,
                focal_mm=FOCAL_MM,
                back=page.back,
            )
        )

    def photos(self, request: Request) -> Response:
        """Keys and names of those that are `named` so, as many as a list has, and how many there are."""
        named, count = self.page.photos.named(request.query_params.get("named", "")[:MAX_NAME_CHARACTERS])
        return JSONResponse({"photos": [{"key": key, "name": name} for key, name in named], "count": count})

    def photo(self, request: Request) -> Response:
        """Opens a photo; its size, and what is known of its depth."""
        return self._made(request, _facts)

    def seen(self, request: Request) -> Response:
        """The photo refocused, on the screen; smaller with `draft`."""
        setting = Setting.parse(request.query_params)
        edge_px = DRAFT_EDGE_PX if "draft" in request.query_params else SCREEN_EDGE_PX

        def make(photo: OpenPhoto) -> Response:
            jpeg = _jpeg(photo.shown(setting, edge_px))
            told = {TOLD_HEADER: quote(photo.told(setting)), OPENNESS_HEADER: json.dumps(photo.openness(setting))}
            return Response(jpeg, media_type="image/jpeg", headers=told)

        return self._made(request, make)

    def depth(self, request: Request) -> Response:
        """The map in colour."""
        return self._made(request, lambda photo: Response(_png(photo.coloured_depth()), media_type="image/png"))

    async def full(self, request: Request) -> Response:
        """The photo refocused at its own size, as PNG."""
        self._check_token(request)
        form = dict(parse_qsl((await _body(request, MAX_FORM_BYTES)).decode("ascii", "replace")))
        setting = Setting.parse(form)

        def make(photo: OpenPhoto) -> Response:
            return Response(_png(photo.saved(setting)), media_type="image/png")

        return await run_in_threadpool(self._made, request, make)

    async def drop(self, request: Request) -> Response:
        """A photo that somebody brings, in the body; its name in the query."""
        self._check_token(request)
        name = request.query_params.get("name", "")[:MAX_NAME_CHARACTERS] or "photo"
        data = await _body(request, self.page.max_file_bytes)
        return JSONResponse({"key": await run_in_threadpool(self.page.photos.drop, name, data), "name": name})

    def _made(self, request: Request, make: Callable[[OpenPhoto], Response]) -> Response:
        with self.page.one_at_a_time:
            return make(self.page.photos.opened(request.path_params["key"]))

    def _check_token(self, request: Request) -> None:
        self.page.token.check(request.headers.get(TOKEN_HEADER, ""))


def _facts(photo: OpenPhoto) -> Response:
    height, width = photo.rgb.shape[:2]
    return JSONResponse({
        "name": photo.name, "width": width, "height": height, "depth": photo.depth.summary(), "file": photo.file_stem,
        "is_metric": photo.depth.is_metric, "focal_mm": photo.focal_mm,
    })  # fmt: skip


async def _body(request: Request, most_bytes: int) -> bytes:
    body = bytearray()
    async for chunk in request.stream():
        body += chunk
        if len(body) > most_bytes:
            raise DepthError(f"more than {most_bytes} bytes were sent")
    return bytes(body)


def _jpeg(rgb: np.ndarray) -> bytes:
    options = [
        cv2.IMWRITE_JPEG_QUALITY,
        JPEG_QUALITY,
        cv2.IMWRITE_JPEG_SAMPLING_FACTOR,
        cv2.IMWRITE_JPEG_SAMPLING_FACTOR_444,
    ]
    return cv2.imencode(".jpg", cv2.cvtColor(rgb, cv2.COLOR_RGB2BGR), options)[1].tobytes()


def _png(rgb: np.ndarray) -> bytes:
    return as_file(Image.fromarray(rgb), "PNG", compress_level=PNG_LEVEL)


def _explain(request: Request, error: Exception) -> Response:
    return PlainTextResponse(f"{error}\n", 403 if isinstance(error, StalePage) else 400)


def _unknown(request: Request, error: Exception) -> Response:
    return PlainTextResponse("this photo is no longer here: choose another, or bring it again\n", 404)


def _give_up(request: Request, error: Exception) -> Response:
    """For whoever went before all was sent; nobody reads it."""
    return PlainTextResponse("the photo did not arrive whole\n", 400)
