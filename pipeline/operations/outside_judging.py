"""Methods from outside judged on a snapshot's test photos and scenes, once for all its models.

What each gave is kept in `evaluations/` beside what models share, by the digest of the method and of each input, so that
nothing is run twice; it goes with the rest when a photo of the snapshot is forgotten.
"""

import json
import logging
import time
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import asdict, dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
import pandas as pd
from PIL import Image, PngImagePlugin

from pipeline.atomic import atomic_path, write_text
from pipeline.bounded import form_problem, read_json
from pipeline.config import OutsideMethod
from pipeline.errors import DatasetError
from pipeline.evaluation.outside import Account
from pipeline.file_names import child
from pipeline.operations.outside import JudgedPicture, MethodPictures, TooSlow, Unusable, method_version, source_of
from pipeline.parquet_files import parquet_path
from pipeline.plain_files import open_plain
from pipeline.squares import scaled, unit
from pipeline.tables import among

if TYPE_CHECKING:
    from pipeline.evaluation.measure.judge import Trial
    from pipeline.evaluation.measure.judged_size import AlphaBytes, Photos
    from pipeline.evaluation.measure.metrics import Rgb
    from pipeline.evaluation.measure.scenes import Scenes
    from pipeline.evaluation.measure.shared_scores import Common

METHODS = "methods"
TAKEN = "seconds"
"""The text in a kept PNG that says how long it took."""
S_PICTURE = "s_picture"
"""The metric of a method's cost: seconds a picture, the median."""
COLUMNS = ["photo_id", "method", "metric", "value"]
GIVEN_UP_AFTER = 3
"""A method that is too slow for so many pictures, one after the other, is not asked for more of them."""
FORM = {
    "version": str, "kind": str, "origin": str, "photos": int, "judged": int, "problems": {str: str}, "extra": [str],
    "scaled": str,
}  # fmt: skip

logger = logging.getLogger(__name__)


@dataclass(frozen=True)
class KeptPictures:
    """A method's pictures in files, by photo or scene."""

    files: Mapping[str, Path]

    @property
    def ids(self) -> set[str]:
        """Of which there is one."""
        return set(self.files)

    def at(self, ids: Sequence[str], size_px: int) -> "Rgb":
        """In [0, 1], scaled by Lanczos."""
        return unit(np.concatenate([scaled(_read(self.files[one])[None], size_px) for one in ids]))


@dataclass(frozen=True)
class PhotosOf:
    """Some of a snapshot's photos."""

    photos: "Photos"
    indices: np.ndarray

    @property
    def ids(self) -> list[str]:
        """Theirs."""
        return [self.photos.ids[int(index)] for index in self.indices]

    def batch(self, indices: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        """As the whole's."""
        return self.photos.batch(self.indices[indices])


@dataclass(frozen=True)
class OutsideTrial:
    """What methods from outside are judged on and by: as a model of this size is. `folder` keeps what they gave."""

    folder: Path
    trial: "Trial"
    targets: Mapping[str, JudgedPicture]
    """What is known of photos beside their pixels, by id."""
    common: "Common"
    version: str


def method_folder(evaluations: Path, snapshot: str, name: str, version: str) -> Path:
    """Where a method's pictures and scores on a snapshot are kept."""
    return child(child(child(evaluations, snapshot), METHODS), f"{name}-{version}")


def read_account(folder: Path, judged_px: int) -> Account | None:
    """What was said of a method when it was judged; None where that is not there any more."""
    try:
        told = read_json(child(folder, f"{judged_px}px.json"))
    except (OSError, ValueError):
        return None
    if form_problem(told, FORM) or not all(name in told for name in FORM):
        return None
    return Account(**{name: told[name] for name in FORM})


def with_outside(methods: Sequence[OutsideMethod], bench: OutsideTrial) -> "Common":
    """What all models share, with the scores and pictures of these methods."""
    common = bench.common
    for method in methods:
        scores, given = _judged(method, bench)
        common = replace(
            common,
            scores=pd.concat([common.scores, scores], ignore_index=True) if len(scores) else common.scores,
            outside={**common.outside, method.name: given},
        )
    return common


def _judged(method: OutsideMethod, bench: OutsideTrial) -> tuple[pd.DataFrame, KeptPictures]:
    """The method's scores, and its pictures."""
    version = method_version(method)
    folder = child(bench.folder, f"{method.name}-{version}")
    given, seconds, account = _gathered(method, version, folder, bench)
    path = child(folder, f"{bench.trial.judged_px}px.parquet")
    known = read_account(folder, bench.trial.judged_px)
    scores = _read_scores(path, bench) if known == account else None
    if scores is None:
        scores, account = _measured(method.name, given, bench, account)
        with atomic_path(path) as temporary:
            scores.assign(version=bench.version).to_parquet(temporary, index=False)
        write_text(child(folder, f"{bench.trial.judged_px}px.json"), json.dumps(asdict(account), indent=2) + "\n")
    if account.problems:
        words = f"{method.name}: judged on {account.judged} of {account.photos} photos"
        logger.warning("%s; not on %s", words, "; ".join(f"{one}: {why}" for one, why in list(account.problems.items())[:5]))
    costs = [("set:model", method.name, S_PICTURE, float(np.median(seconds)))] if seconds else []
    return pd.concat([scores, pd.DataFrame(costs, columns=COLUMNS)], ignore_index=True), given


def _gathered(
    method: OutsideMethod, version: str, folder: Path, bench: OutsideTrial
) -> tuple[KeptPictures, list[float], Account]:
    """Every picture that the method gives, seconds where it is run, and what is wrong."""
    files: dict[str, Path] = {}
    seconds: list[float] = []
    problems: dict[str, str] = {}
    sizes: set[int] = set()
    try:
        source = source_of(method)
    except Unusable as error:
        everything = [*bench.trial.photos.ids, *_scene_ids(bench)]
        account = Account(
            method.kind, origin_of(method), version, len(bench.trial.photos.ids), 0, dict.fromkeys(everything, str(error))
        )
        return KeptPictures({}), [], account
    outputs = child(folder, "outputs")
    too_slow = 0
    for target in _targets(bench):
        try:
            path, took_s, side_px = _kept(source, target, outputs, is_asked=too_slow < GIVEN_UP_AFTER)
            too_slow = 0 if too_slow < GIVEN_UP_AFTER else too_slow
            if side_px < bench.trial.judged_px:
                raise Unusable(f"is of {side_px} px, smaller than the {bench.trial.judged_px} px of the judged size")
        except Unusable as error:
            problems[target.identifier] = str(error)
            if too_slow < GIVEN_UP_AFTER:
                too_slow = too_slow + 1 if isinstance(error, TooSlow) else 0
            continue
        files[target.identifier] = path
        seconds += [took_s] if took_s is not None else []
        sizes |= {side_px} if side_px != target.rgb.shape[0] else set()
    scenes = _scene_ids(bench)
    if not any(one in files for one in scenes) and not source.is_run:
        # Somebody's folder of photos has no scenes of ours, and nobody expects them there.
        problems = {one: why for one, why in problems.items() if one not in scenes}
    missing = [one for one in problems if one not in files]
    account = Account(
        method.kind,
        origin_of(method),
        version,
        len(bench.trial.photos.ids),
        sum(one in files for one in bench.trial.photos.ids),
        problems,
        source.left_over(missing),
        ", ".join(f"{side} px" for side in sorted(sizes)),
    )
    return KeptPictures(files), seconds, account


def origin_of(method: OutsideMethod) -> str:
    """Where its pictures come from, in words that name no folder of this machine: the last part of every path."""
    told = str(getattr(method, method.kind))
    if method.kind == "command":
        return " ".join(Path(word).name if word.startswith("/") else word for word in told.split())
    return Path(told).name


def _scene_ids(bench: OutsideTrial) -> list[str]:
    return bench.trial.scenes[0].ids if bench.trial.scenes is not None else []


def _targets(bench: OutsideTrial) -> Iterator[JudgedPicture]:
    """All pictures that a method is asked for, read batch by batch."""
    from pipeline.evaluation.measure.judged_size import batches

    for part in batches(len(bench.trial.photos.ids)):
        rgb, _ = bench.trial.photos.batch(np.arange(part.start, part.stop))
        for identifier, picture in zip(bench.trial.photos.ids[part], rgb, strict=True):
            yield replace(bench.targets[identifier], rgb=picture)
    if bench.trial.scenes is not None:
        scenes = bench.trial.scenes[0]
        for identifier, picture in zip(scenes.ids, scenes.sharp, strict=True):
            yield JudgedPicture(identifier, picture, (identifier.replace(":", "_").lower(),))


def _kept(source: MethodPictures, target: JudgedPicture, outputs: Path, is_asked: bool) -> tuple[Path, float | None, int]:
    """Where the method's picture is kept, made now unless it was before or the method is not asked any more; the seconds it
    took where it was run; its side."""
    path = child(outputs, f"{target.digest}.png")
    if source.is_run and (found := _facts(path)) is not None:
        return path, *found
    if not is_asked:
        raise Unusable(f"not asked: {GIVEN_UP_AFTER} pictures before, one after the other, took longer than its time limit")
    start = time.perf_counter()
    picture = source.picture(target)
    took_s = round(time.perf_counter() - start, 4) if source.is_run else None
    told = PngImagePlugin.PngInfo()
    told.add_text(TAKEN, "" if took_s is None else str(took_s))
    with atomic_path(path) as temporary:
        Image.fromarray(picture).save(temporary, "PNG", pnginfo=told, compress_level=1)
    return path, took_s, picture.shape[0]


def _facts(path: Path) -> tuple[float | None, int] | None:
    """Seconds and side of a kept picture; None where it is not there, or damaged."""
    try:
        with open_plain(path) as stream, Image.open(stream, formats=["PNG"]) as image:
            image.load()
            told = getattr(image, "text", {}).get(TAKEN, "")
            return (float(told) if told else None), image.size[0]
    except (OSError, ValueError, SyntaxError):
        return None


def _read(path: Path) -> np.ndarray:
    with open_plain(path) as stream, Image.open(stream, formats=["PNG"]) as image:
        return np.asarray(image.convert("RGB"))


def _read_scores(path: Path, bench: OutsideTrial) -> pd.DataFrame | None:
    try:
        found = pd.read_parquet(parquet_path(path))
    except (OSError, ValueError):
        return None
    same = set(COLUMNS) <= set(found.columns) and (found.get("version") == bench.version).all()
    return found[COLUMNS] if same else None


def _measured(name: str, given: KeptPictures, bench: OutsideTrial, account: Account) -> tuple[pd.DataFrame, Account]:
    """Scores, null where the method gives no picture, and the account, which may know worse by then."""
    from pipeline.evaluation.measure.judge import judge_outside

    indices = np.array([index for index, one in enumerate(bench.trial.photos.ids) if one in given.ids], int)
    some = replace(bench.trial, photos=PhotosOf(bench.trial.photos, indices), scenes=_scenes_of(bench, given.ids))
    try:
        scores = judge_outside(name, given, some, bench.common.of(indices))
    except DatasetError as error:
        lost = dict.fromkeys(given.ids, str(error).removeprefix(f"{name}: ").partition(";")[0])
        return pd.DataFrame(columns=COLUMNS), replace(account, judged=0, problems={**account.problems, **lost})
    missing = [one for one in bench.trial.photos.ids if one not in given.ids]
    metrics = scores.loc[
        among(scores["photo_id"], bench.trial.photos.ids) & (scores["metric"] != "flat_output"), "metric"
    ].unique()
    nothing = [(one, name, metric, np.nan) for metric in metrics for one in missing]
    return pd.concat([scores, pd.DataFrame(nothing, columns=COLUMNS)], ignore_index=True) if nothing else scores, account


def _scenes_of(bench: OutsideTrial, ids: set[str]) -> "tuple[Scenes, AlphaBytes] | None":
    """The scenes of which the method gives a picture, with the segmenter's alpha."""
    if bench.trial.scenes is None:
        return None
    scenes, alpha = bench.trial.scenes
    chosen = [index for index, one in enumerate(scenes.ids) if one in ids]
    some = replace(
        scenes,
        names=[scenes.names[index] for index in chosen],
        sharp=scenes.sharp[chosen],
        shallow=scenes.shallow[chosen],
        mask=scenes.mask[chosen],
        conditions={name: [values[index] for index in chosen] for name, values in scenes.conditions.items()},
    )
    return some, alpha[chosen]
