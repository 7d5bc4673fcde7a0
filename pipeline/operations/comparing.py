"""People compare methods: what they are shown, the page that asks them, and their answers as CSVs of the home.

Each judge writes a file of their own, a row an answer, so that several may be at it at once; nothing is ever rewritten.
"""

import threading
import unicodedata
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from datetime import UTC, datetime
from hashlib import sha256
from pathlib import Path
from typing import TYPE_CHECKING
from urllib.parse import parse_qs, quote

from starlette.applications import Starlette
from starlette.concurrency import run_in_threadpool
from starlette.requests import Request
from starlette.responses import HTMLResponse, PlainTextResponse, RedirectResponse, Response
from starlette.routing import Route

from pipeline.atomic import append_whole, naming
from pipeline.errors import DatasetError
from pipeline.evaluation.people.choices import (
    CHOICES,
    COLUMNS,
    OF_PORTRAITS,
    Choice,
    MethodPair,
    judge_key,
    plan,
    read_choices,
    row_of,
    shown_to,
)
from pipeline.file_names import child
from pipeline.operations.comparison_answers import MAX_CSV_BYTES
from pipeline.operations.reports import predicts_depth
from pipeline.plain_files import plain, read_plain, read_plain_text
from pipeline.spreadsheet import before_next_row, csv_text

if TYPE_CHECKING:
    from pipeline.evaluation.report.page import ReportInputs

MAX_BODY_BYTES = 4096
MAX_NAME_CHARACTERS = 40
POLICY = {
    "content-security-policy": "default-src 'none'; img-src 'self' data:; style-src 'unsafe-inline'; form-action 'self'; "
    "base-uri 'none'; frame-ancestors 'none'"
}
Pictures = Mapping[str, Mapping[str, Path]]
"""Photo → method → its picture."""


def pictures_of(inputs: "ReportInputs", only: Sequence[str] = ()) -> Pictures:
    """What can be shown: pictures of test photos by models, methods from outside and the input, of `only` where given.

    Raises `DatasetError` where fewer than two methods are left.
    """
    from pipeline.evaluation.measure.judged_size import BASELINES, INPUT
    from pipeline.evaluation.measure.tiles import read_pictures
    from pipeline.evaluation.report.gallery import MODEL_ROLE, is_scene
    from pipeline.evaluation.report.page import shelf_of

    found: dict[str, dict[str, Path]] = {}
    models = [model for model in inputs.models if not predicts_depth(model)]
    for model in [*models, *inputs.outside]:
        for photo, tiles in shelf_of(model).items():
            if not is_scene(photo):
                found.setdefault(photo, {})[model.name] = tiles.files[MODEL_ROLE]
    for tiles in read_pictures(models[0].pictures) if models else ():
        if tiles.photo_id in found:
            found[tiles.photo_id] |= {role: path for role, path in tiles.files.items() if role in (INPUT, *BASELINES)}
    known = sorted({name for methods in found.values() for name in methods})
    if unknown := [name for name in only if name not in known]:
        raise DatasetError(f"no pictures of {', '.join(unknown)}; there are those of {', '.join(known) or 'nothing'}")
    chosen = set(only or (name for name in known if name not in BASELINES or name == "disc_matched"))
    if len(chosen) < 2:
        raise DatasetError(f"two methods are needed to compare; there are pictures of {', '.join(known) or 'nothing'}")
    return {photo: {name: path for name, path in methods.items() if name in chosen} for photo, methods in found.items()}


@dataclass
class Compare:
    """What the page works on: pictures of a snapshot, and where answers go. All judges see the same pairs."""

    snapshot: str
    pictures: Pictures
    folder: Path
    seed: int = 0
    questions: Mapping[str, str] = field(default_factory=lambda: OF_PORTRAITS)
    writing: threading.Lock = field(default_factory=threading.Lock)

    def __post_init__(self) -> None:
        self.pairs: list[MethodPair] = plan({photo: sorted(methods) for photo, methods in self.pictures.items()}, self.seed)
        self.by_token = {
            self.token(photo, method): path for photo, methods in self.pictures.items() for method, path in methods.items()
        }

    @property
    def asked(self) -> int:
        """How many pairs each judge is shown: some come twice."""
        return len(shown_to(self.pairs, "", self.seed))

    def token(self, photo: str, method: str) -> str:
        """A picture's address, which does not tell whose it is."""
        return sha256(f"{self.seed} {self.snapshot} {photo} {method}".encode()).hexdigest()[:24]

    def file(self, judge: str) -> Path:
        """Where a judge's answers go."""
        return child(self.folder, f"{self.snapshot}+{judge_key(judge)}.csv")

    def answered(self, judge: str) -> int:
        """How many pairs the judge has answered in full. Raises `OSError` and `ValueError` where that cannot be read."""
        path = self.file(judge)
        if not path.exists():
            return 0
        own, _ = read_choices(read_plain_text(path, MAX_CSV_BYTES).removeprefix("\ufeff"), self.snapshot, path.name)
        done = {(one.pair, one.is_repeat, one.question) for one in own if judge_key(one.judge) == judge_key(judge)}
        shown = shown_to(self.pairs, judge, self.seed)
        for number, one in enumerate(shown):
            pair = Choice(one.photo_id, one.left, one.right, "", "", judge).pair
            if any((pair, one.is_repeat, question) not in done for question in self.questions):
                return number
        return len(shown)

    def answer(self, judge: str, number: int, given: Mapping[str, str]) -> None:
        """Write the answers to a pair: question → choice. Raises `ValueError` for what is none."""
        shown = shown_to(self.pairs, judge, self.seed)
        if not 0 <= number < len(shown) or set(given) != set(self.questions) or not set(given.values()) <= set(CHOICES):
            raise ValueError("answer both questions by left, right or same")
        one, at = shown[number], datetime.now(UTC).isoformat(timespec="seconds")
        answers = [
            Choice(one.photo_id, one.left, one.right, question, choice, judge, one.is_repeat)
            for question, choice in given.items()
        ]
        with self.writing:
            self._append(self.file(judge), csv_text(row_of(row, self.snapshot, self.seed, at) for row in answers))

    def _append(self, path: Path, lines: str) -> None:
        path.parent.mkdir(parents=True, exist_ok=True)
        with naming(path), open(path, "a+b", buffering=0, opener=plain) as file:
            append_whole(file, before_next_row(file, COLUMNS) + lines.encode())


def judge_name(text: str) -> str | None:
    """What a person is called here, letters and digits of any script, spaces, - and _; None for what is no name.

    >>> judge_name(" Jürgen M. "), judge_name("../x")
    (None, None)
    >>> judge_name(" Jürgen Müller ")
    'Jürgen Müller'
    """
    name = " ".join(unicodedata.normalize("NFC", text).split())
    # Marks are parts of letters in many scripts.
    is_name = all(one in " -_" or unicodedata.category(one)[0] in "LNM" for one in name)
    return name if is_name and name[:1].isalnum() and len(name) <= MAX_NAME_CHARACTERS else None


def make_compare_app(compare: Compare, project: str) -> Starlette:
    """The page, to be put behind a guard: `/` asks who judges, `/judge/NAME` shows the next pair."""
    from pipeline.evaluation.report.page import environment

    def page(**values: object) -> Response:
        shown = environment().get_template("compare.html").render(project=project, questions=compare.questions, **values)
        return HTMLResponse(shown, headers=POLICY)

    def start(request: Request) -> Response:
        text = request.query_params.get("name", "")
        if name := judge_name(text):
            return RedirectResponse(f"/judge/{quote(name)}", 303)
        wrong = f"A name has letters, digits, spaces, - and _ alone, {MAX_NAME_CHARACTERS} at most."
        return page(judge=None, problem=wrong if text.strip() else "")

    async def judge(request: Request) -> Response:
        name = request.path_params["name"]
        if judge_name(name) != name:
            return PlainTextResponse("there is no such judge\n", 404)
        problem = ""
        if request.method == "POST":
            given = {key: values[0] for key, values in parse_qs((await request.body()).decode("utf-8", "replace")).items()}
            try:
                number = int(given.pop("number", "-1"))
                await run_in_threadpool(compare.answer, name, number, given)
                return RedirectResponse(f"/judge/{quote(name)}", 303)
            except ValueError as error:
                problem = str(error)
        return await run_in_threadpool(_next, name, problem, request.query_params.get("pair", ""))

    def _next(name: str, problem: str, asked: str) -> Response:
        shown, number = shown_to(compare.pairs, name, compare.seed), compare.answered(name)
        if asked.isascii() and asked.isdigit() and len(asked) < 10:
            number = min(number, max(0, int(asked) - 1))  # to answer one anew: the last answer counts
        if number >= len(shown):
            return page(judge=name, total=len(shown), number=number, left=None, right=None, problem=problem)
        one = shown[number]
        left, right = (f"/picture/{compare.token(one.photo_id, method)}" for method in (one.left, one.right))
        return page(judge=name, total=len(shown), number=number, left=left, right=right, problem=problem)

    def picture(request: Request) -> Response:
        path = compare.by_token.get(request.path_params["token"])
        if path is None or not path.is_file():
            return PlainTextResponse("there is no such picture\n", 404)
        return Response(read_plain(path, MAX_CSV_BYTES), media_type="image/png", headers=POLICY)

    return Starlette(
        routes=[
            Route("/", start),
            Route("/judge/{name}", judge, methods=["GET", "POST"]),
            Route("/picture/{token}", picture),
        ],
        exception_handlers={OSError: _not_kept, UnicodeDecodeError: _not_kept},
    )


def _not_kept(request: Request, error: Exception) -> Response:
    why = (error.strerror or str(error)) if isinstance(error, OSError) else "it is no text in UTF-8"
    told = f"answers cannot be kept: {error.filename}: {why}" if isinstance(error, OSError) else f"answers: {why}"
    return PlainTextResponse(f"{told}; mend that and load this page again\n", 500)
