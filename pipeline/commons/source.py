"""Commons as a source: a query of the project file in the language of the service's search."""

from dataclasses import dataclass, field
from datetime import UTC, datetime

from pipeline.commons.client import CommonsClient
from pipeline.commons.records import DAY_S, PAGING
from pipeline.config import Query
from pipeline.errors import ConfigError
from pipeline.photo_ids import COMMONS
from pipeline.sources.found import FoundPhoto, Paging, PhotoInfo, SearchPage
from pipeline.sources.listing import Search
from pipeline.sources.windows import Window


@dataclass(frozen=True)
class CommonsSource:
    """A `sources.listing.Source` that asks by `client`."""

    client: CommonsClient
    known_categories: set[str] = field(default_factory=set)
    """Those that were found to exist: an empty month asks about them, and there may be many."""

    @property
    def prefix(self) -> str:
        return COMMONS

    @property
    def paging(self) -> Paging:
        return PAGING

    def search(self, query: Query, max_edge_px: int) -> Search:
        """The query as a search.

        Where it finds nothing its categories are asked about, each once: for one that does not exist the search raises
        `ConfigError` with the nearest names.
        """
        words = search_words(query)
        totals: dict[Window, int] = {}

        def ask(window: Window, page: int) -> SearchPage:
            found = self.client.search(f"{words} {uploaded_in(window)}", page, total=window not in totals)
            total = totals.setdefault(window, found.total)
            if not total and not found.photos:
                self._check_categories(query)
            return SearchPage(total, tuple(_within(window, photo) for photo in found.photos))

        return Search(ask, f"{self.client.endpoint} {words}")

    def _check_categories(self, query: Query) -> None:
        for category in query.categories:
            if category in self.known_categories:
                continue
            nearest = self.client.categories_like(category)
            if category not in nearest:
                offer = f"; the nearest: {', '.join(nearest)}" if nearest else ""
                raise ConfigError(f"categories: Wikimedia Commons has no category {category!r}{offer}")
            self.known_categories.add(category)

    def photo_info(self, number: str) -> PhotoInfo | None:
        """The file as it is now, `None` where it was deleted."""
        return self.client.photo_info(number)


def search_words(query: Query) -> str:
    """What finds the query's photos, but for the time of upload.

    >>> search_words(Query(text="portrait", categories=["Taken with Apple iPhone 7"], exclude_tags=["cat"]))
    'portrait incategory:"Taken with Apple iPhone 7" -"cat" filetype:bitmap'
    >>> search_words(Query(camera="Q23892"))
    'haswbstatement:P4082=Q23892 filetype:bitmap'
    """
    words = [query.text] if query.text else []
    words += [f"incategory:{_quoted(category)}" for category in query.categories]
    words += [f"haswbstatement:P4082={query.camera}"] if query.camera else []
    words += [f"-{_quoted(tag)}" for tag in query.exclude_tags]
    return " ".join([*words, "filetype:bitmap"])


def uploaded_in(window: Window) -> str:
    """The window, whole days of UTC, in words of the search.

    >>> uploaded_in(Window(1709251200, 1709423999))
    'creationdate:>=2024-03-01 creationdate:<2024-03-03'
    """
    begin, end = (datetime.fromtimestamp(at, UTC).date() for at in (window.begin_s, window.end_s + DAY_S))
    return f"creationdate:>={begin} creationdate:<{end}"


def _within(window: Window, photo: FoundPhoto) -> FoundPhoto:
    """The photo, uploaded in the window; the time of a file that was replaced since is that of its newest version."""
    at_s = min(max(photo.date_upload_s, window.begin_s), window.end_s)
    return photo if at_s == photo.date_upload_s else _moved(photo, at_s)


def _moved(photo: FoundPhoto, at_s: int) -> FoundPhoto:
    return FoundPhoto(**{**vars(photo), "date_upload_s": at_s})


def _quoted(words: str) -> str:
    return '"' + words.replace('"', " ").strip() + '"'
