"""Where the page that `bokehflow dev` starts serves what a home has to show: paths, so that they hold at any port."""

from urllib.parse import quote

PREFIX = "/bokehflow"


def report_link(name: str) -> str:
    """Where the report of that name (a snapshot's id, several joined by `+`, or `all`) is served."""
    return f"{PREFIX}/reports/{quote(name)}"


def lineage_link(kind: str, name: str) -> str:
    """Where the drawing of a photo's, snapshot's or model's lineage is served."""
    return f"{PREFIX}/lineage/{kind}/{quote(name, safe='')}"


DUPLICATES_LINK, MASKS_LINK, HOME_LINK = f"{PREFIX}/duplicates/", f"{PREFIX}/masks", f"{PREFIX}/"
