"""What Wikimedia Commons says of its files, as typed records.

An answer of its API (`action=query`, `generator=search`, `formatversion=2`) looks like this, cut to one file:

    {"batchcomplete": true, "continue": {"gsroffset": 50, "continue": "gsroffset||"},
     "query": {"searchinfo": {"totalhits": 812}, "pages": [{
       "pageid": 57831123, "ns": 6, "title": "File:Portrait of Ada.jpg", "index": 1, "imageinfo": [{
         "timestamp": "2024-03-04T05:06:07Z", "user": "Ada L", "size": 812345, "width": 3024, "height": 4032,
         "thumburl": "https://upload.wikimedia.org/wikipedia/commons/thumb/a/ab/Portrait_of_Ada.jpg/960px-Portrait_of_Ada.jpg",
         "thumbwidth": 960, "thumbheight": 1280, "mime": "image/jpeg", "mediatype": "BITMAP",
         "url": "https://upload.wikimedia.org/wikipedia/commons/a/ab/Portrait_of_Ada.jpg",
         "descriptionurl": "https://commons.wikimedia.org/wiki/File:Portrait_of_Ada.jpg",
         "extmetadata": {"LicenseShortName": {"value": "CC BY-SA 4.0", "source": "commons-desc-page", "hidden": ""},
                         "Artist": {"value": "<a href=\"…\">Ada L</a>", "source": "commons-desc-page"}, …}}]}]}}

Oddities:
- Files come in the order of their page ids; `index` is their place in the search.
- Nothing found is an answer without `query`. `extmetadata` that is empty is a list, not an object.
- A search that times out shows and counts what it had found; only its `"warnings": {"search": {"warnings": "The search timed
  out, only partial results are available."}}` tell it from a whole one.
- A large answer comes in parts: files whose `imageinfo` is missing get it in the next part (`batchcomplete` is then absent).
- `timestamp` is that of the file's newest version: a file that was replaced is younger than its page.
- An uploader whose name was suppressed is `"userhidden": true`, a deleted page `"missing": true`.
- Author, credit and description are HTML; "Attribution" is a licence of its own, and not one of Creative Commons.
- Thumbnails exist in a few widths only (the service refuses others since 2025), and never wider than the file.
"""

import re
from collections.abc import Mapping
from datetime import datetime
from html.parser import HTMLParser

from pipeline.entered_text import one_line
from pipeline.licenses import license_id
from pipeline.links import is_web
from pipeline.sources.found import FoundPhoto, Paging, PhotoInfo, Size

DAY_S = 86_400
PAGING = Paging(per_page=50, cap=10_000, step_s=DAY_S, window=1000)
"""Files in one call with all their metadata; the most that one search shows; the search tells days of upload apart."""
THUMBNAIL_WIDTHS_PX = (250, 330, 500, 960, 1280, 1920, 3840)
"""The widths in which the service makes thumbnails."""
LONGEST_TEXT = 300
"""Characters of an author, a title, a licence's name or a user's: MediaWiki's own names have 255 bytes at most."""
LONGEST_ADDRESS = 2000
MADE_OF = {"image/jpeg", "image/png", "image/tiff", "image/webp"}
"""What a photo may be; other bitmaps are drawings and animations."""

_THUMBNAIL = re.compile(r"(?<=[/-])\d+px-(?=[^/]*$)")


def parse_file(page: Mapping[str, object]) -> FoundPhoto:
    """A page of the answer as a photo. Raises `ValueError` where what identifies it is missing or not understood."""
    info, about = _info(page), _about(page)
    return FoundPhoto(
        id=str(_number(page.get("pageid"), "pageid")),
        owner=_text(info.get("user")),
        owner_name=html_text(about.get("Artist")) or _text(info.get("user")) or None,
        title=title_of(page),
        tags=tuple(category.replace(" ", "_") for category in about.get("Categories", "").split("|") if category),
        license=license_of(about),
        date_upload_s=unix_s(_text(info.get("timestamp"))),
        date_taken=_taken(about.get("DateTimeOriginal")),
        last_update_s=unix_s(_text(info.get("timestamp"))),
        media="photo" if info.get("mime") in MADE_OF else _text(info.get("mime")) or None,
        views=None,
        page_url=_address(info.get("descriptionurl")),
        sizes=tuple(_sizes(info)),
    )


def parse_found(page: Mapping[str, object]) -> FoundPhoto:
    """`parse_file`, and for a result that it does not understand a photo of which nothing is known but its id.

    It has no picture to fetch, which is its reason; one whose id is no number that a page has is a `bad_id`.
    """
    try:
        return parse_file(page)
    except (ValueError, OverflowError):
        return FoundPhoto.of_which_nothing_is_known(f"{page.get('pageid')}")


def parse_info(page: Mapping[str, object]) -> PhotoInfo | None:
    """What one file is now; None for one that was deleted. A renamed file keeps its page id, and so its photo id."""
    if page.get("missing") or page.get("invalid") or not page.get("imageinfo"):
        return None
    found = parse_file(page)
    return PhotoInfo(found.id, found.license, is_public=True, last_update_s=found.last_update_s)


def license_of(about: Mapping[str, str]) -> str | None:
    """The licence as `pipeline.licenses` writes it; what is not one of those stays in the service's words.

    >>> license_of({"LicenseShortName": "CC BY-SA 4.0"}), license_of({"LicenseShortName": "Attribution"}), license_of({})
    ('12', 'Attribution (Commons)', None)
    """
    name, url = about.get("LicenseShortName", ""), about.get("LicenseUrl", "")
    code = about.get("License", name).lower()
    if "creativecommons.org" in url:
        return license_id(url)
    if re.match(r"cc|pd|public domain|us.?gov", code):
        return license_id(name)
    return f"{one_line(html_text(name) or name)} (Commons)" if name else None


def title_of(page: Mapping[str, object]) -> str:
    """The file's name without namespace and ending."""
    return re.sub(r"\.\w{1,5}$", "", _text(page.get("title")).removeprefix("File:"))


def unix_s(timestamp: str) -> int:
    """Unix seconds of `2024-03-04T05:06:07Z`. Raises `ValueError` for anything else."""
    return int(datetime.fromisoformat(timestamp).timestamp())


def html_text(html: str | None) -> str | None:
    """What a reader of this HTML sees, on one line, at most `LONGEST_TEXT` characters; None for nothing.

    >>> html_text('<a href="//x">Ada&nbsp;L</a><style>p{}</style> <span style="display:none">author</span>')
    'Ada L'
    """
    if not html:
        return None
    reader = _Visible()
    reader.feed(html)
    reader.close()
    return one_line(one_line("".join(reader.seen))[:LONGEST_TEXT]) or None


class _Visible(HTMLParser):
    """Gathers text outside of scripts, styles and what is not displayed."""

    _NEVER_CLOSED = frozenset({"br", "img", "hr", "wbr", "input", "meta", "link"})

    def __init__(self) -> None:
        super().__init__(convert_charrefs=True)
        self.seen: list[str] = []
        self._hidden: list[str] = []

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        if tag in self._NEVER_CLOSED:
            self.seen.append(" ")
            return
        style = "".join((dict(attrs).get("style") or "").split()).lower()
        if self._hidden or tag in ("script", "style") or "display:none" in style:
            self._hidden.append(tag)

    def handle_endtag(self, tag: str) -> None:
        if tag in self._hidden:
            del self._hidden[len(self._hidden) - 1 - self._hidden[::-1].index(tag) :]

    def handle_data(self, data: str) -> None:
        if not self._hidden:
            self.seen.append(data)


def _info(page: Mapping[str, object]) -> Mapping[str, object]:
    found = page.get("imageinfo")
    if not isinstance(found, list) or not found or not isinstance(found[0], Mapping):
        raise ValueError(f"the answer has no 'imageinfo' of page {page.get('pageid')}")
    return found[0]


def _about(page: Mapping[str, object]) -> dict[str, str]:
    about = _info(page).get("extmetadata")
    if not isinstance(about, Mapping):
        return {}
    values = {str(name): entry.get("value") for name, entry in about.items() if isinstance(entry, Mapping)}
    return {name: str(value) for name, value in values.items() if isinstance(value, str | int | float)}


def _taken(written: str | None) -> str | None:
    """The camera's time as Flickr writes it; a date that people wrote in words is unknown."""
    found = re.match(r"\d{4}-\d\d-\d\d \d\d:\d\d:\d\d$", html_text(written) or "")
    return found[0] if found else None


def _sizes(info: Mapping[str, object]) -> list[Size]:
    """The thumbnails that the service makes of the file, and the file itself where it is a common picture format."""
    url, width_px, height_px = _address(info.get("url")), _positive(info.get("width")), _positive(info.get("height"))
    sizes = []
    thumbnail = _address(info.get("thumburl"))
    if width_px and height_px and _THUMBNAIL.search(thumbnail):
        for wide_px in THUMBNAIL_WIDTHS_PX:
            if wide_px < width_px:
                address = _THUMBNAIL.sub(f"{wide_px}px-", thumbnail, count=1)
                sizes.append(Size(str(wide_px), address, wide_px, max(1, round(height_px * wide_px / width_px))))
    return [*sizes, Size("o", url, width_px, height_px)] if url else sizes


def _text(value: object) -> str:
    return one_line(one_line(value)[:LONGEST_TEXT]) if isinstance(value, str) else ""


def _address(value: object) -> str:
    """An address on the web as the answer gives it; empty for anything else.

    Which hosts pictures may come from is looked at where they are fetched, redirects included.
    """
    if not isinstance(value, str) or len(value) > LONGEST_ADDRESS:
        return ""
    written = f"https:{value}" if value.startswith("//") else value
    return written if is_web(written) and written.isprintable() and " " not in written else ""


def _number(value: object, key: str) -> int:
    if not isinstance(value, int) or isinstance(value, bool) or not 0 < value < 2**63:
        raise ValueError(f"the answer has no number {key!r}")
    return value


def _positive(value: object) -> int | None:
    return value if isinstance(value, int) and not isinstance(value, bool) and 0 < value < 2**31 else None
