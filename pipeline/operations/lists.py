"""What the lists of the project file are now, and which photos they have taken back; `read_lists` reads them."""

from pathlib import Path

from pipeline.config import Project
from pipeline.plain_files import known_sha256
from storage import Home

TURN = "the lists' turn to be read again"
"""Why a run that is asked to reads them, whatever is new."""
LISTED = ("photo_id", "domain", "list", "absent")


def withdrawn(project: Project, home: Home) -> set[tuple[str, str]]:
    """Domain and id of photos that came by lists of which none, of those in the project file, has them any more."""
    listed = home.tables.read_or_empty("listed_photos")
    names = {domain: {Path(path).name for path in one.lists} for domain, one in project.domains.items()}
    known, present = set[tuple[str, str]](), set[tuple[str, str]]()
    for photo_id, domain, name, absent in zip(*(listed[one] for one in LISTED), strict=True):
        known.add((domain, photo_id))
        if not absent and name in names.get(domain, ()):
            present.add((domain, photo_id))
    return known - present


def lists_versions(project: Project) -> dict[str, str]:
    """What tells the lists of each domain that has some from what they were, by words that "… changed" can follow."""
    return {
        f"lists of {name}": " ".join(f"{Path(path).name} {file_version(Path(path))}" for path in domain.lists)
        for name, domain in project.domains.items()
        if domain.lists
    }


def missing_lists(project: Project) -> str | None:
    """What to do about a list that is not there; None where all are."""
    lost = [path for domain in project.domains.values() for path in domain.lists if not file_version(Path(path))]
    return f"{lost[0]}: this list of the project file is not there or cannot be read; put it there" if lost else None


def file_version(path: Path) -> str:
    """Digest of a file's bytes, empty where it cannot be read."""
    try:
        return known_sha256(path)[:16]
    except OSError:
        return ""
