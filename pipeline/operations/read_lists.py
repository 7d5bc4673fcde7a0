"""Lists of addresses in the project file: read as a query is asked, again when a file changes and at the schedule's turn.

A list's new rows are fetched, what its other rows newly tell is taken over, and photos whose rows vanished are listed no
more, like photos that a search no longer shows: no later snapshot has them, the history knows them as absent, and their
bytes stay until they are forgotten. A row that comes back brings its photo back. Photos that `bokehflow import` had brought
before stay, whatever a list does.
"""

from dataclasses import replace
from pathlib import Path

import pandas as pd

from pipeline.config import Project
from pipeline.counted import counted
from pipeline.errors import ConfigError
from pipeline.operations.imports import Imported
from pipeline.operations.list_imports import import_list
from pipeline.operations.lists import file_version
from pipeline.operations.stages import provenance_of
from pipeline.photo_ids import URL
from storage import Home
from storage.provenance import differences


def are_only_imports_new(project: Project, home: Home) -> bool:
    """Whether all that is new since `imported_photos` was made is what `bokehflow import` brought: no list tells of that."""
    info = home.tables.info("imported_photos")
    if info is None or info.provenance is None:
        return False
    stored, required = info.provenance, provenance_of(project, home, "imported_photos")
    are_others_new = differences(stored, replace(required, tables=stored.tables), {})
    return bool(differences(stored, required, {})) and not are_others_new


def read_lists(project: Project, home: Home) -> list[Imported]:
    """Read every list of the project; what was done with each.

    Raises as `import_list` does, and `ConfigError` for a list without addresses. A list that changes while it is read takes
    no photo away: it is read again.
    """
    return [_read(project, home, domain, Path(path)) for domain, one in project.domains.items() for path in one.lists]


def _read(project: Project, home: Home, domain: str, path: Path) -> Imported:
    before, imports = file_version(path), home.tables.read_or_empty("imports", columns=["photo_id", "domain"])
    listed = home.tables.read_or_empty("listed_photos")
    here = set(imports.loc[imports["domain"] == domain, "photo_id"])
    here = {photo_id for photo_id in here if photo_id.startswith(URL)}
    of_domain = listed["domain"] == domain
    is_of_list = of_domain & (listed["list"] == path.name)
    mine, unseen = set(listed.loc[is_of_list, "photo_id"]), set(here)
    # What is here without a list came by `bokehflow import`, and is no list's to take away.
    by_hand = here - set(listed.loc[of_domain, "photo_id"])
    (done,) = import_list(project, home, path, domain, seen=unseen.discard)
    if not done.rows:
        raise ConfigError(
            f"{path}: no row of it has an address, so that all its photos would go; if that is meant, take the list out of "
            "the project file"
        )
    if file_version(path) != before:
        unseen = set()
        done.notes.append("the list changed while it was read; it is read again, and no photo goes before")
    gone = mine & unseen
    present = (set(done.photos.values()) | (mine - gone)) - by_hand
    ids = [*sorted(present), *sorted(gone)]
    rows = {"photo_id": ids, "domain": domain, "list": path.name, "absent": [one in gone for one in ids]}
    with home.undisturbed():
        listed = home.tables.read_or_empty("listed_photos")
        others = listed[(listed["domain"] != domain) | (listed["list"] != path.name)]
        home.tables.write("listed_photos", pd.concat([others, pd.DataFrame(rows)], ignore_index=True))
    if gone:
        done.notes.append(
            f"later snapshots leave out {counted(len(gone), 'photo')} whose rows are gone; `bokehflow forget` erases photos"
        )
    return done
