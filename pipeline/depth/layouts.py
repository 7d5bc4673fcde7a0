"""Folders of pictures with depth, or of pairs of pictures, as the data sets that people bring are laid out.

A layout is a function from a folder to what it holds: pairs, each with a name, the group that must stay on one side of a
split (a room, a scene), the side its authors put it on, and where its files are. Nothing is decoded before a pair is asked.

    pairs       rgb/NAME.* beside depth/NAME.png or .npy, target/NAME.* or both; the unit in depth.toml or told
    diml        DIML/CVL RGB-D, indoor (color/, depth_filled/ or depth_raw/) and outdoor (outleft/, depthmap/)
    diode       DIODE: NAME.png, NAME_depth.npy, NAME_depth_mask.npy below scene_*/scan_*
    realbokeh   RealBokeh: a sharp picture and those of other f-numbers, told by metadata in JSON
    nyu         NYU Depth v2, one file: see `nyu`
"""

import re
import tomllib
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

import numpy as np

from pipeline.bounded import form_problem, read_json
from pipeline.counted import counted
from pipeline.depth.files import ReadPicture, read_array, read_depth_map
from pipeline.depth.metrics import edges, widened
from pipeline.depth.units import DepthError, DepthMap, DepthUnit
from pipeline.errors import ConfigError, StorageError
from pipeline.file_names import below, child
from pipeline.plain_files import read_plain

PICTURES = (".png", ".jpg", ".jpeg", ".tif", ".tiff", ".webp")
MAPS = (".png", ".npy", ".tif", ".tiff")
MILLIMETRES, METRES = DepthUnit.parse("mm"), DepthUnit.parse("m")
MAX_TOLD_BYTES = 1 << 20
DIODE_RIM_PX = 2
"""Beside steps of depth DIODE's maps are mixtures of both sides, made by resampling: they count as unknown there."""
DIODE_FARTHEST_M = 300.0
SHOWN_PROPORTIONS = 0.02
"""A map may differ by so much from its picture's proportions, as those of cameras that were scaled to whole pixels do."""


@dataclass(frozen=True)
class Target:
    """Another picture of the same scene, with the f-number it was taken at where that is told."""

    picture: Path
    f_number: float | None = None


@dataclass(frozen=True)
class RgbdPair:
    """A picture, and its depth, its targets, or both.

    `group`: pictures of one room or scene, which resemble each other so much that they must not straddle a split. `side`:
    "train" or "test" where the data set says so. `rgb` and `depth` take a function that reads checked picture files.
    """

    name: str
    group: str
    side: str | None
    rgb: Callable[[ReadPicture], bytes] = field(repr=False)
    depth: Callable[[ReadPicture], DepthMap] | None = field(default=None, repr=False)
    targets: Sequence[Target] = ()


@dataclass(frozen=True)
class Found:
    """What a folder holds: pairs in the order of their names, and what is no pair, each with its reason."""

    pairs: Sequence[RgbdPair]
    problems: Sequence[str] = ()


def misfit(what: str, size_px: tuple[int, int], picture_px: tuple[int, int]) -> str | None:
    """Why something of that width and height cannot belong to a picture of this; None where it can."""
    (width, height), (width_px, height_px) = size_px, picture_px
    if abs(width / height / (width_px / height_px) - 1) <= SHOWN_PROPORTIONS:
        return None
    told = f"its {what} is {width}×{height}, the picture {width_px}×{height_px}: other proportions"
    return f"{told}; is it of another picture, or turned?"


def pairs(folder: Path, unit: DepthUnit | None = None) -> Found:
    """`rgb/` beside `depth/`, `target/` or both, by equal names. Each picture is a group of its own.

    Raises ConfigError where there are maps and nobody says what their numbers mean, and for a folder of them in which none
    can be read: its pictures would pass for some without.
    """
    kinds = ("rgb", PICTURES), ("depth", MAPS), ("target", PICTURES)
    pictures, maps, targets = (by_stem(child(folder, name), endings) for name, endings in kinds)
    if not pictures:
        raise ConfigError(f"{folder}: has no pictures in rgb/; the layout `pairs` needs rgb/ beside depth/ or target/")
    unread = [told for name, endings in kinds if (told := _unread(child(folder, name), endings))]
    for (name, endings), some in zip(kinds, (pictures, maps, targets), strict=True):
        if child(folder, name).is_dir() and not some:
            raise ConfigError(f"{folder}: {name}/ has no file that can be read, which end in {', '.join(endings)}")
    if not maps and not targets:
        raise ConfigError(f"{folder}: has rgb/ alone; the layout `pairs` needs depth/ or target/ beside it")
    told = (unit or told_unit(folder)) if maps else None
    if maps and told is None:
        remedy = 'say it by --depth-unit, or in depth.toml: unit = "mm"'
        raise ConfigError(
            f"{folder}: nobody says what the numbers in depth/ mean, and each guess is right somewhere; {remedy}"
        )
    found = [_pair(name, name, None, path, maps.get(name), told, targets.get(name)) for name, path in pictures.items()]
    problems = [f"{path.name}: there is no picture of that name in rgb/" for path in _without(pictures, maps, targets)]
    other, what = (maps, "map of that name in depth/") if maps else (targets, "picture of that name in target/")
    problems += [f"{path.name}: there is no {what}" for path in _without(other, pictures)]
    halves = [pair for pair in found if pair.depth is not None or pair.targets]
    return Found([pair for pair in halves if pair.depth is not None or not maps], [*unread, *sorted(problems)])


def diml(folder: Path, raw: bool = False) -> Found:
    """DIML/CVL: 16-bit millimetres, 0 unknown; filled maps, or with `raw` those that the camera measured.

    Never `depth_v`, whose 8 bits were stretched for looking at. Rooms are told by folder, number and day.
    """
    kind = "depth_raw" if raw else "depth_filled"
    found, problems = [], []
    for colour in _shown(folder.rglob("color/*_c.png")):
        stem, scene = colour.stem.removesuffix("_c"), colour.parents[1]
        depth = scene / kind / f"{stem}_{kind}.png"
        if not depth.exists():
            problems.append(f"{colour.relative_to(folder)}: there is no {kind}/{depth.name}")
            continue
        room = f"{scene.name}/{'_'.join(stem.split('_')[:3])}"
        found.append(_pair(_named(folder, scene / stem), room, _side(folder, colour), colour, depth, MILLIMETRES))
    for left in _shown(folder.rglob("outleft/*.png")):
        depth = left.parents[1] / "depthmap" / left.name
        if not depth.exists():
            problems.append(f"{left.relative_to(folder)}: there is no depthmap/{depth.name}")
            continue
        place, name = left.parents[1].name, _named(folder, left.with_suffix(""))
        found.append(_pair(name, place, _side(folder, left), left, depth, MILLIMETRES))
    return _not_empty(Found(found, problems), folder, "color/*_c.png or outleft/*.png")


def diode(folder: Path) -> Found:
    """DIODE: metres and a mask of what is valid; the rim of steps, where its maps are wrong, counts as unknown."""
    found, problems = [], []
    for depth in _shown(folder.rglob("scan_*/*_depth.npy")):
        stem = depth.name.removesuffix("_depth.npy")
        picture, valid = (child(depth.parent, f"{stem}{ending}") for ending in (".png", "_depth_mask.npy"))
        missing = [path.name for path in (picture, valid) if not path.exists()]
        if missing:
            problems.append(f"{depth.relative_to(folder)}: there is no {' and no '.join(missing)}")
            continue
        pair = _pair(
            _named(folder, picture.with_suffix("")), depth.parents[1].name, _side(folder, depth), picture, None, None
        )
        found.append(replace(pair, depth=_diode_depth(depth, valid)))
    return _not_empty(Found(found, problems), folder, "scene_*/scan_*/*_depth.npy")


def realbokeh(folder: Path) -> Found:
    """RealBokeh: JSON with `source_image`, `target_images` and `target_avs`; paths are below train/, test/ or the like."""
    found, problems = [], []
    for told in _shown(folder.rglob("*.json")):
        try:
            found.append(_realbokeh_pair(folder, told))
        except (ValueError, OSError, StorageError) as error:
            problems.append(f"{told.relative_to(folder)}: {error}")
    return _not_empty(Found(found, problems), folder, "metadata in *.json")


# --- parts ------------------------------------------------------------------------------------------------------------


def _pair(
    name: str,
    group: str,
    side: str | None,
    picture: Path,
    depth: Path | None,
    unit: DepthUnit | None,
    target: Path | None = None,
) -> RgbdPair:
    reads = None if depth is None or unit is None else lambda read: read_depth_map(depth, unit, read)
    return RgbdPair(name, group, side, lambda read: read(picture), reads, () if target is None else (Target(target),))


def _shown(paths: Iterable[Path]) -> list[Path]:
    """These files in order, but for hidden ones, such as macOS leaves beside each on a foreign disk."""
    return sorted(path for path in paths if path.name[0] != ".")


def by_stem(folder: Path, endings: Sequence[str]) -> dict[str, Path]:
    """The files of a folder that are not hidden by their name without its ending; ConfigError where two have the same."""
    paths = [path for path in _shown(folder.glob("*")) if path.suffix.lower() in endings] if folder.is_dir() else []
    found = {path.stem: path for path in paths}
    if len(found) < len(paths):
        twice = next(path for path in paths if found[path.stem] is not path)
        raise ConfigError(f"{twice}: there is another file of that name with another ending; keep one")
    return found


def _unread(folder: Path, endings: Sequence[str]) -> str | None:
    """How many files of a folder are passed over for their endings, in words; None where there are none."""
    paths = folder.iterdir() if folder.is_dir() else ()
    names = sorted(
        path.name for path in paths if path.suffix.lower() not in endings and path.name[0] != "." and path.is_file()
    )
    if not names:
        return None
    return f"{folder.name}/: {counted(len(names), 'file')} not read, such as {names[0]}; only {', '.join(endings)} are"


def _without(others: Mapping[str, Path], *many: Mapping[str, Path]) -> Iterator[Path]:
    for some in many:
        yield from (path for name, path in some.items() if name not in others)


def told_unit(folder: Path) -> DepthUnit | None:
    """What `depth.toml` says: `unit`, and `steps_per_unit` where a stored number is not one of it."""
    path = folder / "depth.toml"
    if not path.exists():
        return None
    try:
        told = tomllib.loads(read_plain(path, MAX_TOLD_BYTES).decode("utf-8"))
        return DepthUnit.parse(f"{told['unit']}/{told.get('steps_per_unit', 1)}")
    except (OSError, ValueError, KeyError) as error:
        raise ConfigError(f'{path}: does not tell the unit ({error!r}); write unit = "mm" or another') from None


def _diode_depth(path: Path, valid: Path) -> Callable[[ReadPicture], DepthMap]:
    def read(_: ReadPicture) -> DepthMap:
        metres, mask = read_array(path).astype(np.float64), read_array(valid)
        if metres.shape != mask.shape:
            raise DepthError(f"{valid}: has {mask.shape} pixels and the map {metres.shape}")
        known = (mask.astype(np.float64) > 0) & np.isfinite(metres) & (metres > 0) & (metres <= DIODE_FARTHEST_M)
        known &= ~widened(edges(metres, known), DIODE_RIM_PX)
        found = DepthMap(METRES.disparity(np.where(known, metres, 0.0)), is_metric=True)
        found.check(str(path))
        return found

    return read


def _realbokeh_pair(folder: Path, path: Path) -> RgbdPair:
    told = read_json(path, MAX_TOLD_BYTES)
    form = {"source_image": str, "target_images": [str], "target_avs": [object]}
    if problem := form_problem(told, form) or next((f"it has no {key}" for key in form if key not in told), None):
        raise ValueError(problem)
    if len(told["target_images"]) != len(told["target_avs"]):
        raise ValueError(f"{len(told['target_images'])} target images and {len(told['target_avs'])} f-numbers")
    root = child(folder, path.relative_to(folder).parts[0]) if _side(folder, path) else folder
    source, *targets = (below(root, name) for name in (told["source_image"], *told["target_images"]))
    if missing := [str(one.relative_to(root)) for one in (source, *targets) if not one.exists()]:
        raise ValueError(f"there is no {', no '.join(missing)}")
    views = [Target(target, _f_number(av)) for target, av in zip(targets, told["target_avs"], strict=True)]
    pair = _pair(_named(folder, path.with_suffix("")), path.stem, _side(folder, path), source, None, None)
    return replace(pair, targets=tuple(views))


def _f_number(told: Any) -> float:  # noqa: ANN401 - a number or a text of JSON
    found = re.fullmatch(r"(?:[fF]/?)?([0-9]{1,3}(?:\.[0-9]{1,3})?)", str(told).strip())
    if not found:
        raise ValueError(f"{told!r} is no f-number")
    return float(found[1])


def _named(folder: Path, path: Path) -> str:
    return path.relative_to(folder).as_posix()


def _side(folder: Path, path: Path) -> str | None:
    """By the folder on the way that is called so: what authors call validation is tested on, as nothing is trained on it."""
    sides = {"train": "train", "test": "test", "val": "test", "validation": "test"}
    return next((sides[part.lower()] for part in path.relative_to(folder).parts[:-1] if part.lower() in sides), None)


def _not_empty(found: Found, folder: Path, sought: str) -> Found:
    if not found.pairs and not found.problems:
        raise ConfigError(f"{folder}: has no {sought}; is it another layout, or a folder too deep?")
    return found
