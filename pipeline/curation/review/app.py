"""The page's web application: routes, forms and templates. Server-rendered; the script only makes it quick.

Every answer is a whole page, so that it works without script too; with it, forms are sent in the background (they ask
for JSON) and the next pages are fetched in advance.
"""

import re
import secrets
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from urllib.parse import parse_qsl, quote, unquote

import jinja2
from starlette.applications import Starlette
from starlette.concurrency import run_in_threadpool
from starlette.requests import ClientDisconnect, Request
from starlette.responses import HTMLResponse, JSONResponse, PlainTextResponse, RedirectResponse, Response
from starlette.routing import Mount, Route
from starlette.staticfiles import StaticFiles
from starlette.types import ASGIApp

from pipeline.curation.decisions import REASONS, REASONS_OF_PEOPLE, Decision, Verdict
from pipeline.curation.review import wording
from pipeline.curation.review.catalog import FILTERABLE
from pipeline.curation.review.decision_log import RefusedDecision, plain_name
from pipeline.curation.review.filters import STATUSES, SUGGESTIONS, Filters
from pipeline.curation.review.pictures import Pictures, ReviewPicture
from pipeline.curation.review.state import AHEAD, ReviewState
from pipeline.errors import BokehflowError, UnsafeName, is_of_machine, machine_words
from pipeline.hint_table import OF_PEOPLE
from pipeline.loopback.guard import Guard, StalePage, Token

TOKEN_HEADER = "x-review-token"
MAX_BODY_BYTES = 65_536
HEADERS: Mapping[str, str] = {
    "content-security-policy": "default-src 'none'; img-src 'self'; style-src 'self'; script-src 'self'; "
    "connect-src 'self'; form-action 'self'; base-uri 'none'; frame-ancestors 'none'",
}
"""No script but our own file, nothing from elsewhere."""
NOTICE = "This product uses the Flickr API but is not endorsed or certified by SmugMug, Inc."
DIGEST = re.compile(r"[0-9a-f]{64}")
NUMBER = re.compile(r"[0-9]{1,15}")
YEAR_S = 31_536_000
MOST_IN_SIGHT = 400
"""Photos that one tab shows or has fetched ahead."""
VIEWS = ("/grid", "/single")
REFOCUS = "/refocus"


@dataclass(frozen=True)
class Page:
    """What the application needs: who sits at it by default, on which port, and what it works on."""

    review: ReviewState
    pictures: Pictures
    project: str
    curator: str
    port: int
    draw: Callable[[str, str, str], None]
    """Lays strokes over a picture's mask and keeps it: takes the SHA-256, the strokes as text and who drew them. Raises
    `ValueError` for what are no strokes."""
    people: bool = True
    """Whether the photos are of people: else nothing is said, or asked, of any."""
    depth: bool = False
    """Whether photos may have maps of depth."""
    refocus: ASGIApp | None = None
    """The page that refocuses photos, whose keys are the SHA-256 of their pictures; a part of this one."""


def make_app(page: Page) -> Guard:
    """The ASGI application, guarded against other sites."""
    handlers = _Handlers(page)
    application = Starlette(
        routes=[
            Route("/", handlers.resume),
            Route("/grid", handlers.grid),
            Route("/single", handlers.single),
            Route("/state", handlers.state),
            Route("/session", handlers.session),
            Route("/thumbnail/{sha256}", handlers.picture(lambda digest, name: page.pictures.thumbnail(name, digest))),
            Route("/picture/{sha256}", handlers.picture(lambda digest, name: page.pictures.scaled(digest))),
            Route("/original/{sha256}", handlers.picture(lambda digest, name: page.pictures.original(digest))),
            Route("/mask/{sha256}", handlers.picture(lambda digest, name: page.pictures.overlay(digest), kept=False)),
            Route("/depth/{sha256}", handlers.depth(page.pictures.coloured_depth)),
            Route("/depth/{sha256}/range", handlers.depth(page.pictures.depth_range)),
            Route("/decide", handlers.decide, methods=["POST"]),
            Route("/undo", handlers.undo, methods=["POST"]),
            Route("/draw", handlers.draw, methods=["POST"]),
            Route("/leave", handlers.leave, methods=["POST"]),
            Route("/curator", handlers.rename, methods=["POST"]),
            Mount("/static", StaticFiles(packages=[("pipeline.curation.review", "static")])),
        ],
        exception_handlers={
            BokehflowError: _explain, OSError: _tell_of_machine, RefusedDecision: _refuse, StalePage: _refuse,
            ClientDisconnect: _give_up,
        },
    )  # fmt: skip
    if page.refocus:
        application.mount(REFOCUS, page.refocus)
    return Guard(application, page.port, MAX_BODY_BYTES, HEADERS)


class _Handlers:
    """The routes; each reads the request, asks the review's state and fills in a template."""

    def __init__(self, page: Page) -> None:
        self.page, self.review = page, page.review
        self.token = Token()
        self.templates = jinja2.Environment(
            loader=jinja2.PackageLoader("pipeline.curation.review"), autoescape=True, undefined=jinja2.StrictUndefined,
            trim_blocks=True, lstrip_blocks=True,
        )  # fmt: skip
        self.templates.globals |= {"wording": wording, "notice": NOTICE, "project": page.project, "quote": quote}

    # --- pages

    def resume(self, request: Request) -> Response:
        """Where this browser was last; the grid at first."""
        last = unquote(request.cookies.get(self._cookie("view"), ""))
        return RedirectResponse(last if _is_view(last) else "/grid", 303)

    def grid(self, request: Request) -> Response:
        filters, start = Filters.parse(request.query_params), request.query_params.get("start", "")
        if sought := request.query_params.get("find", "").strip():
            return self._found(request, filters, sought)
        who, seat = self._curator(request), self._seat(request)
        found = self.review.grid(filters, start, who, seat)
        here = _address("/grid", filters, start=found.shown[0].photo.photo_id if found.first and found.shown else "")
        context = {"found": found, "here": here,
                   "after": _address("/grid", filters, start=found.after) if found.after else "",
                   "before": _address("/grid", filters, start=found.before or "") if found.before else "",
                   "single": {one.photo.photo_id: _address("/single", filters, photo=one.photo.photo_id)
                              for one in found.shown}}  # fmt: skip
        return self._render("grid.html", filters, who, seat, here, request, context)

    def single(self, request: Request) -> Response:
        """The photo named, else the first that matches after the one named `after`."""
        filters, query = Filters.parse(request.query_params), request.query_params
        if sought := query.get("find", "").strip():
            return self._found(request, filters, sought)
        who, seat, photo_id = self._curator(request), self._seat(request), query.get("photo", "")
        shown = self.review.single(photo_id, who, seat) if photo_id else None
        upcoming = self.review.upcoming(filters, photo_id or query.get("after", ""), who, seat)
        if shown is None and upcoming:
            return self._seated(request, seat, RedirectResponse(_address("/single", filters, photo=upcoming[0]), 303))
        previous = self.review.previous(filters, photo_id, who) if shown else None
        here = _address("/single", filters, photo=photo_id if shown else "")
        elsewhere = 0 if shown else self.review.elsewhere(filters, who, seat)
        context = {"shown": shown, "here": here, "elsewhere": elsewhere,
                   "back": _address("/single", filters, after=photo_id),
                   "upcoming": [_address("/single", filters, photo=other) for other in upcoming],
                   "previous": _address("/single", filters, photo=previous) if previous else "",
                   "grid": _address("/grid", filters, start=photo_id if filters.status == "all" else "")}  # fmt: skip
        return self._render("single.html", filters, who, seat, here, request, context)

    def _found(self, request: Request, filters: Filters, sought: str) -> Response:
        """Leads to the photo that is sought; says where there is none, or another screen shows it."""
        who, seat, photo_id = self._curator(request), self._seat(request), self.review.find(sought)
        if photo_id and self.review.single(photo_id, who, seat):
            return self._seated(request, seat, RedirectResponse(_address("/single", filters, photo=photo_id), 303))
        here = _address("/single", filters, find=sought if photo_id else "")
        context = {"shown": None, "here": here, "elsewhere": int(photo_id is not None), "missing": sought}
        return self._render("single.html", filters, who, seat, here, request, context)

    # --- what the script asks

    def session(self, request: Request) -> Response:
        """The token, for a page that was loaded from this server's predecessor. Other sites cannot read it."""
        return JSONResponse({"token": self.token.value})

    def state(self, request: Request) -> Response:
        """How far the work is, and what others have decided about the photos in sight."""
        query, who = request.query_params, self._curator(request)
        since = int(query["since"]) if NUMBER.fullmatch(query.get("since", "")) else 0
        in_sight = query.get("seen", "").split()[:MOST_IN_SIGHT]
        number, changed = self.review.changes(since, who, self._seat(request), in_sight)
        changes = {photo_id: _standing_facts(found) for photo_id, found in changed}
        return JSONResponse({"number": number, "changes": changes, **self._progress(who)})

    # --- forms

    async def decide(self, request: Request) -> Response:
        form = await _form(request)
        self._check_token(request, form)
        return await run_in_threadpool(self._decide, request, form)

    def _decide(self, request: Request, form: Mapping[str, str]) -> Response:
        who, photo_id = self._curator(request), form.get("photo_id", "")
        decision = self.review.decide(photo_id, _verdict(form), who, self._seat(request))
        return self._answer(request, form, f"{wording.verdict(decision)}.", decision)

    async def undo(self, request: Request) -> Response:
        form = await _form(request)
        self._check_token(request, form)
        return await run_in_threadpool(self._undo, request, form)

    def _undo(self, request: Request, form: Mapping[str, str]) -> Response:
        undone = self.review.undo(self._curator(request), form.get("key", ""), self._seat(request))
        said = f"Undone: {wording.verdict(undone).lower()}." if undone else "There is nothing to undo."
        return self._answer(request, form, said, undone)

    async def draw(self, request: Request) -> Response:
        form = await _form(request)
        self._check_token(request, form)
        return await run_in_threadpool(self._draw, request, form)

    def _draw(self, request: Request, form: Mapping[str, str]) -> Response:
        """Keep a mask that was drawn; it is on the disk before the answer says so."""
        digest = form.get("sha256", "")
        if not DIGEST.fullmatch(digest) or self.review.picture(digest) is None:
            raise RefusedDecision("there is no such picture")
        try:
            self.page.draw(digest, form.get("strokes", ""), self._curator(request))
        except ValueError as error:
            raise RefusedDecision(str(error)) from error
        return self._answer(request, form, "The mask is saved; the next run uses it.", None)

    async def leave(self, request: Request) -> Response:
        """A page says on its way out what it showed: others need not wait for it."""
        form = await _form(request)
        self._check_token(request, form)
        self.review.leave(self._seat(request), form.get("seen", "").split()[:MOST_IN_SIGHT])
        return Response(status_code=204)

    async def rename(self, request: Request) -> Response:
        form = await _form(request)
        self._check_token(request, form)
        name = plain_name(form.get("curator", "")) or self.page.curator
        answer = RedirectResponse(_back(form), 303)
        self._set_cookie(answer, "curator", name)
        return answer

    def _answer(self, request: Request, form: Mapping[str, str], said: str, decision: Decision | None) -> Response:
        """For the script: what became of it and what comes next; without script: the next page."""
        if "application/json" not in request.headers.get("accept", ""):
            return RedirectResponse(_back(form), 303)
        who, seat, photo_id = self._curator(request), self._seat(request), decision.photo_id if decision else ""
        path, _, query = _back(form).partition("?")
        filters = Filters.parse(dict(parse_qsl(query)))
        answer = {"said": said, "photo_id": photo_id, "changes": {}, **self._progress(who)}
        if decision:
            standing = self.review.standing(photo_id, who)
            answer["changes"] = {photo_id: _standing_facts(standing)} if standing else {}
            answer["address"] = _address("/single", filters, photo=photo_id)
        if path == "/single":
            upcoming = self.review.upcoming(filters, photo_id, who, seat, AHEAD, second_first=True)
            answer["upcoming"] = [_address("/single", filters, photo=other) for other in upcoming]
        return self._seated(request, seat, JSONResponse(answer))

    # --- pictures

    def picture(self, make: Callable[[str, str], ReviewPicture], kept: bool = True) -> Callable[[Request], Response]:
        """A route that serves what `make` makes of a digest and the name of its thumbnail.

        Browsers may keep it for ever, since it is named by its content.
        """

        def serve(request: Request) -> Response:
            digest = request.path_params["sha256"]
            name = self.review.picture(digest) if DIGEST.fullmatch(digest) else None
            if name is None:
                return PlainTextResponse("there is no such picture\n", 404)
            try:
                picture = make(digest, name)
            except UnsafeName as error:
                return PlainTextResponse(f"refused: {error}\n", 403)
            except BokehflowError as error:
                return PlainTextResponse(f"{error}\n", 404)
            keep = f"private, max-age={YEAR_S}, immutable" if kept else "private, max-age=3600"
            return Response(picture.data, media_type=picture.media_type, headers={"cache-control": keep})

        return serve

    def depth(self, make: Callable[[str], ReviewPicture]) -> Callable[[Request], Response]:
        """A route of what a map of depth shows; another one may come."""
        return self.picture(lambda digest, name: make(digest), kept=False)

    # --- what all pages share

    def _render(
        self, name: str, filters: Filters, who: str, seat: str, here: str, request: Request, context: Mapping[str, object]
    ) -> Response:
        number, _ = self.review.changes(0, who, seat, [])
        double, people = self.review.double.share > 0, self.page.people
        reasons = [reason for reason in REASONS if people or reason not in REASONS_OF_PEOPLE]
        hints = {name: hint for name, hint in FILTERABLE.items() if people or name not in OF_PEOPLE}
        shared = {
            "filters": filters, "missing": "", "statuses": [name for name in STATUSES if double or name != "conflicts"],
            "suggestions": SUGGESTIONS, "hints": hints, "people": people,
            "depth": self.page.depth, "refocus": REFOCUS if self.page.refocus else "",
            "curator": who, "double_review": double,
            "token": self.token.value, "reasons": reasons, "number": number, "progress": self.review.progress(who),
            "batches": self.review.batches(), "domains": self.review.domains(), "move_to": sorted(self.review.log.domains),
            "domains_in_all": len(self.review.log.domains),
            "grid_address": _address("/grid", filters), "single_address": _address("/single", filters),
        }  # fmt: skip
        answer = HTMLResponse(self.templates.get_template(name).render({**shared, **context}))
        self._set_cookie(answer, "view", here)
        return self._seated(request, seat, answer)

    def _seated(self, request: Request, seat: str, answer: Response) -> Response:
        """Tells a new browser its seat with the very answer that gives it photos."""
        if not request.cookies.get(self._cookie("seat")):
            self._set_cookie(answer, "seat", seat)
        return answer

    def _progress(self, who: str) -> dict[str, object]:
        found = self.review.progress(who)
        domains = [f"{name} {done:,} of {total:,}" for name, done, total in found.domains]
        return {"progress": wording.progress(found), "conflicts": wording.conflicts(found), "decided": found.decided,
                "total": found.total, "domains": " · ".join(domains), "undo": found.undo_key,
                "undo_label": found.undo_label}  # fmt: skip

    def _check_token(self, request: Request, form: Mapping[str, str]) -> None:
        self.token.check(request.headers.get(TOKEN_HEADER) or form.get("token", ""))

    def _curator(self, request: Request) -> str:
        return plain_name(unquote(request.cookies.get(self._cookie("curator"), ""))) or self.page.curator

    def _seat(self, request: Request) -> str:
        """Which browser this is: two of them are not given the same photos."""
        return request.cookies.get(self._cookie("seat"), "")[:32] or secrets.token_hex(8)

    def _cookie(self, name: str) -> str:
        """Browsers do not tell the ports of a host apart, so the name does."""
        return f"bokehflow-{self.page.port}-{name}"

    def _set_cookie(self, answer: Response, name: str, value: str) -> None:
        answer.set_cookie(self._cookie(name), quote(value, safe=""), max_age=YEAR_S, httponly=True, samesite="strict")


def _address(path: str, filters: Filters, **more: str) -> str:
    query = filters.query(**more)
    return f"{path}?{query}" if query else path


def _is_view(address: str) -> bool:
    return address.partition("?")[0] in VIEWS


def _back(form: Mapping[str, str]) -> str:
    """Where a form without script leads; only to this page's own views."""
    back = form.get("back", "")
    return back if _is_view(back) else "/grid"


def _standing_facts(found: wording.ReviewStanding) -> dict[str, str]:
    return {"status": found.status, "badge": wording.badge(found), "standing": wording.standing(found)}


def _verdict(form: Mapping[str, str]) -> Verdict:
    """From a button's value, like `keep`, `drop:edited` or `move:shallow`, and the note."""
    decision, _, about = form.get("verdict", "").partition(":")
    return Verdict(decision, about if decision == "drop" else "", about if decision == "move" else "", form.get("note", ""))


async def _form(request: Request) -> dict[str, str]:
    """The fields of a form of bounded size."""
    body = b""
    async for chunk in request.stream():
        body += chunk
        if len(body) > MAX_BODY_BYTES:
            raise RefusedDecision(f"more than {MAX_BODY_BYTES} bytes were sent")
    return dict(parse_qsl(body.decode("utf-8", errors="replace"), keep_blank_values=True))


def _refuse(request: Request, error: Exception) -> Response:
    status = 403 if isinstance(error, StalePage) else 400
    if "application/json" in request.headers.get("accept", ""):
        return JSONResponse({"error": str(error)}, status)
    return PlainTextResponse(f"refused: {error}\n", status)


def _explain(request: Request, error: Exception) -> Response:
    return PlainTextResponse(f"error: {error}\n", 500)


def _tell_of_machine(request: Request, error: Exception) -> Response:
    """A mask that the disk does not take, above all."""
    if not isinstance(error, OSError) or not is_of_machine(error):
        raise error
    return PlainTextResponse(f"error: {machine_words(error, 'a file')} and try again\n", 500)


def _give_up(request: Request, error: Exception) -> Response:
    """For whoever went before the form was sent whole; nobody reads it."""
    return PlainTextResponse("the form did not arrive whole\n", 400)
