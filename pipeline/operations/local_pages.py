"""What a home has to show, served beside Dagster's pages: reports, duplicates, masks and lineage.

A browser follows no `file://` link from a page, so these lie under `/bokehflow` of the page that `bokehflow dev` starts,
behind its guard. They are only read: no route changes anything, and no path is built from an unchecked name. Dagster's own
pages share the origin, so that no script may run in any of them; reports, which have a small one, are sandboxed.
"""

import threading
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from urllib.parse import quote

from starlette.applications import Starlette
from starlette.requests import Request
from starlette.responses import HTMLResponse, PlainTextResponse, Response
from starlette.routing import Route
from starlette.types import ASGIApp, Receive, Scope, Send

from pipeline.bounded import plain_file
from pipeline.config import Project
from pipeline.dataset.layout import list_snapshots
from pipeline.dataset.lineage import Lineage
from pipeline.errors import BokehflowError, StorageError
from pipeline.operations.lineage import finished_runs, lineage_of_model, lineage_of_photo, lineage_of_snapshot
from pipeline.operations.links import DUPLICATES_LINK, HOME_LINK, MASKS_LINK, PREFIX, lineage_link, report_link
from pipeline.operations.masks import mask_tiles
from pipeline.pillow import as_file
from pipeline.plain_files import read_plain
from storage import Home

MAX_PAGE_BYTES = 64 * 2**20
MASKS_SHOWN = 40
NO_SCRIPT = "default-src 'none'; img-src data: 'self'; style-src 'unsafe-inline'; base-uri 'none'; form-action 'none'"
SANDBOXED = (
    "sandbox allow-scripts allow-popups; default-src 'none'; img-src data:; style-src 'unsafe-inline'; "
    "script-src 'unsafe-inline'; base-uri 'none'; form-action 'none'"
)
"""An origin of its own, which nothing here lets in."""


def with_local_pages(web: ASGIApp, project: Callable[[], Project], home: Home) -> ASGIApp:
    """The application that answers under `/bokehflow` itself and leaves everything else to `web`.

    `project` gives that of the moment: its file may be edited while pages are served.
    """
    pages = make_pages(project, home)

    async def answer(scope: Scope, receive: Receive, send: Send) -> None:
        is_ours = scope["type"] == "http" and (scope["path"] == PREFIX or scope["path"].startswith(f"{PREFIX}/"))
        await (pages if is_ours else web)(scope, receive, send)

    return answer


def make_pages(project: Callable[[], Project], home: Home) -> Starlette:
    """The pages alone, without a guard."""
    handlers = _Pages(project, home)
    return Starlette(
        routes=[
            Route(PREFIX, handlers.index),
            Route(HOME_LINK, handlers.index),
            Route(f"{PREFIX}/reports/{{name}}", handlers.report),
            Route(f"{PREFIX}/reports/{{name}}/{{page}}", handlers.report),
            Route(DUPLICATES_LINK, handlers.duplicates),
            Route(f"{PREFIX}/duplicates/{{name}}", handlers.duplicates),
            Route(MASKS_LINK, handlers.masks),
            Route(f"{PREFIX}/lineage/{{kind}}/{{name}}", handlers.lineage),
        ],
        exception_handlers={BokehflowError: _told, FileNotFoundError: _missing, OSError: _unreadable},
    )


@dataclass(frozen=True)
class _Pages:
    """One function a route; they run in threads."""

    project: Callable[[], Project]
    home: Home
    one_at_a_time: threading.Lock = field(default_factory=threading.Lock)

    def index(self, request: Request) -> Response:
        """What there is, with links."""
        from pipeline.evaluation.report.page import environment

        reports = sorted(self.home.reports.glob("*/index*.html"), key=lambda path: (-path.stat().st_mtime_ns, path.name))
        page = environment().get_template("home.html").render(
            project=self.project().project.name,
            reports=dict(map(_listed, reports)),
            duplicates=DUPLICATES_LINK if (self.home.duplicates / "index.html").exists() else None,
            masks=MASKS_LINK if self.home.tables.info("person_masks") is not None else None,
            snapshots={name: lineage_link("snapshot", name) for name in list_snapshots(self.home.snapshots)},
            models={run.run: lineage_link("model", run.run) for run in finished_runs(self.home)},
        )  # fmt: skip
        return HTMLResponse(page, headers={"content-security-policy": NO_SCRIPT})

    def report(self, request: Request) -> Response:
        """One that was written into the home."""
        name, page = request.path_params["name"], request.path_params.get("page", "index.html")
        return self._page(self.home.reports, f"{name}/{page}", SANDBOXED)

    def duplicates(self, request: Request) -> Response:
        """The pages that `bokehflow duplicates` wrote."""
        return self._page(self.home.duplicates, request.path_params.get("name", "index.html"), NO_SCRIPT)

    def masks(self, request: Request) -> Response:
        """A contact sheet of masks, drawn now; `?odd=1` of those that ask for a look."""
        from pipeline.masks.contact_sheet import draw_sheet

        with self.one_at_a_time:
            failed: list[str] = []
            tiles = list(mask_tiles(self.project(), self.home, MASKS_SHOWN, request.query_params.get("odd") == "1", failed))
            if not tiles:
                return PlainTextResponse("\n".join(["no mask to show", *failed]) + "\n", 404)
            return Response(as_file(draw_sheet(tiles), "JPEG", quality=88), media_type="image/jpeg")

    def lineage(self, request: Request) -> Response:
        """The drawing of what a photo, snapshot or model touched or was made from."""
        from pipeline.dataset.lineage_svg import lineage_svg

        find = LINEAGES.get(request.path_params["kind"])
        if find is None:
            return PlainTextResponse(f"there is lineage of {', '.join(LINEAGES)}\n", 404)
        drawing = lineage_svg(find(self.home, request.path_params["name"]))
        return Response(drawing, media_type="image/svg+xml", headers={"content-security-policy": NO_SCRIPT})

    def _page(self, folder: Path, name: str, policy: str) -> Response:
        path = plain_file(folder, name, MAX_PAGE_BYTES)
        if path.suffix != ".html":
            raise StorageError(f"{path.name} is no page")
        return HTMLResponse(read_plain(path, MAX_PAGE_BYTES), headers={"content-security-policy": policy})


LINEAGES: Mapping[str, Callable[[Home, str], Lineage]] = {
    "photo": lineage_of_photo,
    "snapshot": lineage_of_snapshot,
    "model": lineage_of_model,
}


def _listed(path: Path) -> tuple[str, str]:
    """What a report is called in the list, and its link; models of depth beside others have a page of their own."""
    name, part = path.parent.name, path.stem.removeprefix("index").lstrip("-")
    return (f"{name}, {part}", f"{report_link(name)}/{quote(path.name)}") if part else (name, report_link(name))


def _told(request: Request, error: Exception) -> Response:
    return PlainTextResponse(f"{error}\n", 404)


def _unreadable(request: Request, error: Exception) -> Response:
    return PlainTextResponse(f"this page cannot be read: {getattr(error, 'strerror', None) or error}\n", 404)


def _missing(request: Request, error: Exception) -> Response:
    return PlainTextResponse(f"there is no such page here; {HOME_LINK} lists those that are\n", 404)
