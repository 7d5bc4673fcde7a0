"""`bokehflow import --layout`: photos with depth, with pictures that they are to become, or both, as data sets lay them out.

Each picture becomes a photo like any other. What came with it is told in the table `imported_layers`, from which the stage
`training_images` takes it. A picture whose other half cannot be used is not imported: it would pass for one without.
"""

import os
import tempfile
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import closing
from dataclasses import dataclass
from functools import partial
from pathlib import Path

import pandas as pd

from pipeline.atomic import write_bytes
from pipeline.config import Project
from pipeline.counted import counted
from pipeline.dataset.manifest import with_pairs
from pipeline.depth.layouts import Found, RgbdPair, Target, diml, diode, misfit, pairs, realbokeh
from pipeline.depth.maps import digest_of, encoded, map_png
from pipeline.depth.nyu import nyu
from pipeline.depth.units import DepthError, DepthMap, DepthUnit
from pipeline.errors import ConfigError, disk_failed
from pipeline.file_names import child, inside
from pipeline.operations.imports import GrowingImports, Imported, importing
from pipeline.operations.tombstones import forgotten_photos
from pipeline.photos.folder import ImportedPhoto, Part, RefusedFile, import_files, stored_pictures
from pipeline.photos.inspectors import Inspectors
from pipeline.photos.metadata import Told
from pipeline.picture_layers import SOURCES
from pipeline.plain_files import read_plain
from pipeline.tables import conform
from storage import Home

LAYOUTS: Mapping[str, Callable[[Path], Found]] = {
    "pairs": pairs, "nyu": nyu, "diml": diml, "diode": diode, "realbokeh": realbokeh,
}  # fmt: skip
AT_ONCE = 100
"""Pairs whose pictures lie in a temporary folder at a time."""
SHOWN_NAMES = 5


@dataclass(frozen=True)
class _Halves:
    """What is used of a pair: its name, depth, and the target with its f-number."""

    pair: RgbdPair
    depth: DepthMap | None
    target: Target | None

    @property
    def name(self) -> str:
        return self.pair.name


def import_layout(
    project: Project,
    home: Home,
    folder: Path,
    layout: str,
    domain: str,
    unit: DepthUnit | None = None,
    report: Callable[[int, int], None] = lambda done, total: None,
) -> Imported:
    """Bring the pairs of `folder`, laid out as `layout` (one of `LAYOUTS`) says, into the home, as photos of `domain`.

    `unit` is for `pairs`, whose maps may hold anything; the other layouts know theirs. Raises `ConfigError` where there are
    no such pairs, where the unit is not told, and for a domain that is none. Interrupted, it is simply called again.
    """
    if domain not in project.domains:
        raise ConfigError(f"there is no domain {domain!r} in the project file; it has {', '.join(project.domains)}")
    if unit is not None and layout != "pairs":
        raise ConfigError(f"--depth-unit is for the layout `pairs`; `{layout}` has a unit of its own")
    if not folder.is_dir():
        raise ConfigError(f"{folder}: there is no such folder to import")
    found = (partial(pairs, unit=unit) if layout == "pairs" else LAYOUTS[layout])(folder)
    done = Imported(domain, folder, problems=list(found.problems))
    count = min(os.cpu_count() or 1, project.photos.threads)
    with importing(home), closing(Inspectors(count)) as inspectors:
        bring = _PairBringer(project, home, domain, inspectors, forgotten_photos(home), done)
        with bring.imports:
            for start in range(0, len(found.pairs), AT_ONCE):
                bring.batch(found.pairs[start : start + AT_ONCE])
                report(min(start + AT_ONCE, len(found.pairs)), len(found.pairs))
    done.notes += bring.notes()
    if project.dataset.split != "given" and done.told_sides:
        done.notes.append('what its authors say of train and test is kept; split = "given" under [dataset] goes by it')
    return done


class _PairBringer:
    """Brings one batch of pairs after another into a home."""

    def __init__(
        self, project: Project, home: Home, domain: str, inspectors: Inspectors, forgotten: set[str], done: Imported
    ) -> None:
        self._project, self._home, self._domain, self._done = project, home, domain, done
        self._inspectors, self._forgotten = inspectors, forgotten
        # In this order: a photo whose layers are not told yet would pass for one without.
        self.imports = GrowingImports(home, before=self._write_layers)
        rows = self.imports.rows
        self._known, self._before = stored_pictures(rows), set(rows.loc[rows["domain"] == domain, "photo_id"])
        layers = home.tables.read_or_empty("imported_layers").dropna(subset="depth_source_sha256")
        self._depth_before = dict(zip(layers["photo_id"].tolist(), layers["depth_source_sha256"].tolist(), strict=True))
        self._new_layers: list[dict[str, object]] = []
        self._named: dict[str, str] = {}
        self._depths: list[DepthMap] = []
        self._replaced: list[str] = []
        """Names of pairs whose picture had another depth before."""
        self._passed_over = 0

    def batch(self, some: Sequence[RgbdPair]) -> None:
        """Bring these pairs, or note why not."""
        with tempfile.TemporaryDirectory(prefix="bokehflow-import-") as name:
            staging = Path(name)
            halves = [found for number, pair in enumerate(some) if (found := self._staged(staging, number, pair))]
            brought = self._brought(staging, [str(number) for number, _ in halves])
            targets = self._brought(staging, [_target(number) for number, found in halves if found.target])
        rows, pictures, told = [], [], {}
        for number, found in halves:
            picture = self._taken(found, brought.get(str(number)))
            target = self._taken(found, targets.get(_target(number))) if found.target else None
            if picture is None or (found.target and target is None) or not self._fits(found, picture, target):
                continue
            pictures.append(picture)
            told[picture.file] = Told(split=found.pair.side, title=found.name)
            rows.append(self._row(found, picture, target))
        self._add(rows, pictures, told)

    def _staged(self, staging: Path, number: int, pair: RgbdPair) -> tuple[int, _Halves] | None:
        """The pair's pictures written to the folder, its depth read; None with a problem noted where either cannot be."""
        read = partial(read_plain, max_bytes=self._project.photos.max_bytes)
        target = min(pair.targets, key=lambda one: one.f_number or 0.0) if pair.targets else None
        self._passed_over += max(0, len(pair.targets) - 1)
        try:
            depth = None if pair.depth is None else pair.depth(read)
            pictures = {str(number): pair.rgb(read)} | ({_target(number): read(target.picture)} if target else {})
        except (DepthError, ConfigError) as error:
            self._refuse(pair.name, "depth", str(error))
        except OSError as error:
            self._refuse(pair.name, "unreadable", error.strerror or str(error))
        else:
            try:
                for name, data in pictures.items():
                    child(staging, name).write_bytes(data)
            except OSError as error:
                raise disk_failed(error, staging.parent) from error
            return number, _Halves(pair, depth, target)
        return None

    def _refuse(self, name: str, reason: str, detail: str) -> None:
        self._done.refused.append(RefusedFile(name, reason, detail))

    def _brought(self, staging: Path, files: list[str]) -> dict[str, ImportedPhoto | RefusedFile]:
        """What became of each file of the folder: in the blob store once it was checked in full."""
        given = Part(staging, self._domain), files, self._known, self._forgotten, self._home.blobs
        outcomes = import_files(*given, self._project.photos, self._inspectors.inspect)
        return {outcome.file: outcome for batch in outcomes for outcome in batch}

    def _taken(self, found: _Halves, outcome: ImportedPhoto | RefusedFile | None) -> ImportedPhoto | None:
        if isinstance(outcome, RefusedFile):
            self._refuse(found.name, outcome.reason, outcome.detail)
        return outcome if isinstance(outcome, ImportedPhoto) else None

    def _fits(self, found: _Halves, picture: ImportedPhoto, target: ImportedPhoto | None) -> bool:
        """Whether the halves show the same: equal proportions, and no other pair has the same picture."""
        sizes = {"target": (target.info.width_px, target.info.height_px)} if target else {}
        if found.depth is not None:
            sizes["depth"] = found.depth.disparity.shape[1], found.depth.disparity.shape[0]
        for what, size_px in sizes.items():
            if problem := misfit(what, size_px, (picture.info.width_px, picture.info.height_px)):
                self._refuse(found.name, "other_size", problem)
                return False
        other = self._named.setdefault(picture.photo_id, found.name)
        if other != found.name:
            self._refuse(found.name, "same_picture", f"has the same picture as {other}, which keeps what belongs to it")
        return other == found.name

    def _row(self, found: _Halves, picture: ImportedPhoto, target: ImportedPhoto | None) -> dict[str, object]:
        row: dict[str, object] = {
            "photo_id": picture.photo_id, "domain": self._domain, "sha256": picture.sha256, "name": found.name,
            "scene": None if found.pair.group == found.name else found.pair.group,
        }  # fmt: skip
        if found.depth is not None:
            self._depths.append(found.depth)
            row |= self._kept(found.depth, picture.sha256)
            if self._depth_before.get(picture.photo_id, row["depth_source_sha256"]) != row["depth_source_sha256"]:
                self._replaced.append(found.name)
        if target is not None and found.target is not None:
            digests = {"target_source": target.sha256, "target_source_sha256": target.sha256}
            row |= {**digests, "f_number": found.target.f_number}
        return row

    def _kept(self, depth: DepthMap, sha256: str) -> dict[str, object]:
        """The map written below `depth/`, and what the table says of it."""
        stored, encoding = encoded(depth)
        path = f"imported/{sha256[:2]}/{sha256}.png"
        write_bytes(inside(self._home.depth, path), map_png(stored, encoding))
        metres = dict(zip(("nearest_m", "median_m", "farthest_m"), depth.range_m(), strict=True)) if depth.is_metric else {}
        facts = {"depth_source": path, "depth_source_sha256": digest_of(stored, str(encoding))}
        return {**facts, "known": float(depth.known.mean()), **metres}

    def _write_layers(self) -> None:
        with self._home.undisturbed():
            known = self._home.tables.read_or_empty("imported_layers")
            both = pd.concat([known.astype(object), pd.DataFrame(self._new_layers, dtype=object)], ignore_index=True)
            layers = conform("imported_layers", both.drop_duplicates(["domain", "photo_id"], keep="last"))
            self._home.tables.write("imported_layers", layers)
        self._new_layers = []

    def _add(self, rows: list[dict[str, object]], pictures: list[ImportedPhoto], told: Mapping[str, Told]) -> None:
        self._new_layers += rows
        self.imports.add(pictures, told)
        done = self._done
        done.pictures += len(pictures)
        done.photos |= {str(row["name"]): str(row["photo_id"]) for row in rows}
        done.new = len(set(done.photos.values()) - self._before)
        done.told_sides += sum(one.split is not None for one in told.values())
        for row, one in zip(rows, pictures, strict=True):
            done.remarks += [f"{row['name']}: {remark}" for remark in one.info.remarks]

    def notes(self) -> Iterator[str]:
        """What to look at: a wrong unit shows in distances that no camera saw."""
        metric = [depth for depth in self._depths if depth.is_metric]
        if metric:
            nearest, medians, farthest = zip(*(depth.range_m() for depth in metric), strict=True)
            known = sum(float(depth.known.mean()) for depth in metric) / len(metric)
            yield (
                f"depth of {counted(len(metric), 'picture')}: {min(nearest):.3g} to {max(farthest):.3g} m, median "
                f"{pd.Series(medians).median():.3g} m, {known:.0%} known; is that so? Else say another unit and import again"
            )
        if relative := len(self._depths) - len(metric):
            yield f"relative depth of {counted(relative, 'picture')}, larger is nearer"
        if self._replaced:
            names = ", ".join(self._replaced[:SHOWN_NAMES]) + (", …" if len(self._replaced) > SHOWN_NAMES else "")
            yield (
                f"replaced the depth of {counted(len(self._replaced), 'picture')} by another ({names}); where the "
                "former was right, import it again with its unit. `bokehflow run` makes what follows; frozen snapshots stay"
            )
        if self._passed_over:
            yield f"{self._passed_over} more targets passed over: of each picture that of the smallest f-number is taken"


def _target(number: int) -> str:
    return f"{number}-target"


def with_imported_layers(masks: pd.DataFrame, layers: pd.DataFrame) -> pd.DataFrame:
    """`person_masks` with what came with imported photos: sources of layers, and photos of one scene under one split key."""
    if layers.empty:
        return masks
    told = layers.drop_duplicates("photo_id").set_index("photo_id")[[*SOURCES, "scene"]]
    both = masks.join(told, on="photo_id")
    both["split_key"] = with_pairs(both["split_key"], both["scene"])
    return both.drop(columns="scene")
