"""Flickr as a source: a query of the project file as arguments of `flickr.photos.search`."""

from dataclasses import dataclass

from pipeline.config import Query
from pipeline.flickr.cameras import resolve_camera
from pipeline.flickr.client import FlickrClient
from pipeline.flickr.records import PAGING
from pipeline.photo_ids import FLICKR
from pipeline.sources.found import Paging, PhotoInfo, SearchPage, normalised_tag
from pipeline.sources.listing import Search
from pipeline.sources.windows import Window


@dataclass(frozen=True)
class FlickrSource:
    """A `sources.listing.Source` that asks by `client`."""

    client: FlickrClient

    @property
    def prefix(self) -> str:
        return FLICKR

    @property
    def paging(self) -> Paging:
        return PAGING

    def search(self, query: Query, max_edge_px: int) -> Search:
        """The query as a search; every size of a photo comes with it. Raises `ConfigError` for an unknown camera."""
        arguments = search_arguments(query, resolve_camera(self.client, query.camera) if query.camera else None)

        def ask(window: Window, page: int) -> SearchPage:
            return self.client.search(arguments, begin_s=window.begin_s, end_s=window.end_s, page=page)

        return Search(ask, f"{self.client.endpoint} {arguments}")

    def photo_info(self, number: str) -> PhotoInfo | None:
        """The photo as it is now, `None` where Flickr refuses it: deleted, or private by now."""
        return self.client.photo_info(number)


def search_arguments(query: Query, camera: str | None) -> dict[str, str]:
    """`query` as arguments of `flickr.photos.search`; `camera` is a slug of Flickr's."""
    excluded = [f"-{normalised_tag(tag)}" for tag in query.exclude_tags]
    words = [query.text, *excluded] if query.text else []
    tags = [normalised_tag(tag) for tag in query.tags] + ([] if query.text else excluded)
    arguments = {
        "text": " ".join(words),
        "tags": ",".join(tags),
        "tag_mode": "all" if tags else "",
        "camera": camera or "",
        "license": ",".join(query.licenses),
        "safe_search": str(query.safe_search),
        "content_types": "0",
        "media": "photos",
    }
    return {name: value for name, value in arguments.items() if value}
