"""Methods from outside: what each makes of a picture, and in words what is wrong with what it gives.

Whatever they give comes from somebody else and is checked: it must be one picture of the right size that can be read. What
cannot be used is a problem of that picture, with its name; the method is judged on the others.
"""

import contextlib
import hashlib
import importlib
import importlib.util
import json
import os
import re
import shlex
import shutil
import signal
import subprocess
import tempfile
import threading
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, field
from difflib import get_close_matches
from functools import cached_property
from pathlib import Path
from types import ModuleType
from typing import Protocol

import numpy as np
from PIL import Image

from pipeline.config import OutsideMethod
from pipeline.counted import counted
from pipeline.dataset.exported import file_name
from pipeline.errors import DatasetError
from pipeline.file_names import child, is_plain_file, printable
from pipeline.photos.decode import decode
from pipeline.photos.opening import UndecodableImage
from pipeline.plain_files import known_sha256, read_plain

MAX_PIXELS = 60_000_000
MAX_BYTES = 200_000_000
MAX_NETWORK_BYTES = 2**31
MAX_FILES = 200_000
"""Of a folder of pictures, those below it included."""
PICTURE_SUFFIXES = {".png", ".jpg", ".jpeg", ".webp", ".tif", ".tiff", ".bmp"}
STUDY_OUTPUT = "_fake_B"
"""Ends the names of translations to domain B among what the code of CycleGAN's authors writes, and the study's with it."""
FLICKR_FILE = re.compile(r"(\d{5,})_[0-9a-f]{8,}(?:_[a-z0-9]+)?")
"""A file as Flickr serves it: number, secret, size."""
SAID_CHARACTERS = 300
"""Of what a failing program said, its end."""
SAID_BYTES = 65_536
"""Read at once of what a program says; no more than twice as much is kept, however long it talks."""
HINTS = 100
"""So many left-over pictures are held against the names that are missing, and not more than so many of those."""
SECRETS = ("KEY", "SECRET", "TOKEN", "PASSWORD")
"""Variables of the environment with such words in their names are not passed on to programs."""

Cut = Callable[[np.ndarray], np.ndarray]


class Unusable(Exception):
    """What a method gives for one picture cannot be judged; says why."""


class TooSlow(Unusable):
    """It took longer than its time limit."""


@dataclass(frozen=True)
class JudgedPicture:
    """A picture to be judged: `rgb`, uint8 [side, side, 3], as it is stored.

    `names` are those that a file may be called by, without suffix. `cut` takes the same square out of a whole photo, where
    it is known how; it raises `Unusable` for one of other proportions.
    """

    identifier: str
    rgb: np.ndarray
    names: tuple[str, ...] = ()
    cut: Cut | None = None

    @property
    def digest(self) -> str:
        """Of id and pixels: the same wherever the same is asked for."""
        return hashlib.sha256(f"{self.identifier} {self.rgb.shape} ".encode() + self.rgb.tobytes()).hexdigest()


class MethodPictures(Protocol):
    """Gives a method's pictures."""

    def picture(self, target: JudgedPicture) -> np.ndarray:
        """What the method makes of it, uint8 [side, side, 3]. Raises `Unusable`."""
        ...

    @property
    def is_run(self) -> bool:
        """Whether it works here, so that its time is worth knowing."""
        ...

    def left_over(self, missing: Sequence[str]) -> list[str]:
        """In words, what it has beside what was asked for; `missing` are the names of what was not found."""
        ...


def source_of(method: OutsideMethod) -> MethodPictures:
    """Whoever gives the method's pictures. Raises `Unusable` where nothing can come of it at all."""
    if method.folder is not None:
        return FolderSource(Path(method.folder))
    if method.command is not None:
        return CommandSource(method.command, method.time_limit_s)
    if method.onnx is not None:
        return OnnxSource(Path(method.onnx), method.values)
    return CallableSource(str(method.callable))


def method_version(method: OutsideMethod) -> str:
    """Digest of all that decides what the method gives: its files by name and content, its words."""
    told: dict[str, object] = {"kind": method.kind, "values": method.values if method.onnx else None}
    if method.folder is not None:
        files = pictures_in(Path(method.folder))
        told["files"] = sorted((name, _digest(path)) for name, path in files.items())
    elif method.command is not None:
        words = shlex.split(method.command)
        program = shutil.which(words[0])
        files = [Path(program or words[0]), *map(Path, words[1:])]
        told["words"] = [[path.name, _digest(path)] if is_plain_file(path) else str(path) for path in files]
    else:
        file = Path(method.onnx) if method.onnx else _module_file(str(method.callable).rpartition(":")[0])
        told["file"] = [file.name, _digest(file)] if file else None
        told["function"] = str(method.callable).rpartition(":")[2]
    return hashlib.sha256(json.dumps(told, sort_keys=True).encode()).hexdigest()[:16]


def _digest(path: Path) -> str:
    try:
        return known_sha256(path)
    except OSError:
        return "missing"


def checked(picture: object, shape: tuple[int, ...]) -> np.ndarray:
    """A picture that something gave for one of `shape`. Raises `Unusable`."""
    try:
        found = np.asarray(picture)
    except ValueError as error:
        raise Unusable(f"gave no picture: {_line(error)}") from None
    if found.dtype != np.uint8:
        raise Unusable(f"gave numbers of the type {found.dtype}, not uint8")
    if found.shape != shape:
        raise Unusable(f"gave the shape {found.shape} for {shape}")
    return found


# --- folders ------------------------------------------------------------------------------------------------------------


def pictures_in(folder: Path) -> dict[str, Path]:
    """Relative path → picture, of the folder itself or, where none lies there, of what is below it. Of what the study's
    code writes only translations count; none where there is no such folder."""
    direct = {name: path for name, path in _walk(folder) if "/" not in name}
    found = direct or dict(_walk(folder))
    translations = {name: path for name, path in found.items() if path.stem.endswith(STUDY_OUTPUT)}
    return translations or found


def _walk(folder: Path) -> Iterator[tuple[str, Path]]:
    count = 0
    for parent, folders, files in os.walk(folder):
        folders.sort()
        for name in sorted(files):
            count += 1
            if count > MAX_FILES:
                raise DatasetError(f"{folder}: more than {MAX_FILES:,} files; name the folder that holds the pictures")
            path = Path(parent) / name
            if path.suffix.lower() in PICTURE_SUFFIXES:
                yield path.relative_to(folder).as_posix(), path


def names_of(identifier: str, address: str | None) -> tuple[str, ...]:
    """What a picture's file may be called, lower case and without suffix: by id, with or without source, or by the file
    name in the address that the photo came from.

    >>> names_of("flickr:4951", "https://live.example/1/4951_0a1b2c3d4e_h.jpg")
    ('flickr:4951', 'flickr_4951', '4951', '4951_0a1b2c3d4e_h')
    """
    stem = file_name(identifier).removesuffix(".png")
    names = [identifier, stem, identifier.partition(":")[2].replace("#", "_")]
    if address and "#" not in identifier:
        names.append(Path(address.partition("?")[0]).stem)
    return tuple(dict.fromkeys(name.lower() for name in names if name))


@dataclass
class FolderSource:
    """Pictures that lie there already."""

    folder: Path
    used: set[str] = field(default_factory=set)
    is_run: bool = False

    @cached_property
    def _files(self) -> dict[str, Path]:
        return pictures_in(self.folder)

    @cached_property
    def _by_name(self) -> dict[str, list[str]]:
        found: dict[str, list[str]] = {}
        for name, path in self._files.items():
            for key in _keys(path):
                found.setdefault(key, []).append(name)
        return found

    def picture(self, target: JudgedPicture) -> np.ndarray:
        """The square that is judged, of at least the size that the file has of it."""
        if not self.folder.is_dir():
            raise Unusable(f"there is no folder {printable(str(self.folder))}")
        found = list(dict.fromkeys(name for key in target.names for name in self._by_name.get(key, [])))
        self.used.update(found)
        if not found:
            raise Unusable("no picture of that name")
        if len(found) > 1:
            raise Unusable(f"several pictures: {', '.join(map(printable, found[:3]))}")
        return _square(self._files[found[0]], target)

    def left_over(self, missing: Sequence[str]) -> list[str]:
        """Pictures that are of no judged photo, and of which they may be."""
        wanted = {file_name(one).removesuffix(".png").lower(): one for one in missing[:HINTS]}
        found = []
        for number, name in enumerate(sorted(self._files.keys() - self.used)):
            alike = get_close_matches(Path(name).stem.lower(), wanted, 1, 0.8) if number < HINTS else []
            found.append(printable(name) + (f" (meant as {wanted[alike[0]]}?)" if alike else ""))
        return found


def _keys(path: Path) -> list[str]:
    """Names by which a file may be asked for."""
    stem = path.stem.removesuffix(STUDY_OUTPUT).lower()
    of_flickr = FLICKR_FILE.fullmatch(stem)
    return [stem, *([of_flickr[1]] if of_flickr else [])]


def _square(path: Path, target: JudgedPicture) -> np.ndarray:
    picture = read_picture(path)
    height, width = picture.shape[:2]
    if width == height:
        return picture
    if target.cut is None:
        raise Unusable(f"{printable(path.name)} is {width}×{height} px, not square")
    if min(width, height) < len(target.rgb):
        raise Unusable(
            f"{printable(path.name)} is {width}×{height} px, smaller than the {len(target.rgb)} px of the dataset"
        )
    return target.cut(picture)


def read_picture(path: Path) -> np.ndarray:
    """A picture file of anybody's as sRGB, uint8 [height, width, 3]. Raises `Unusable`."""
    try:
        return decode(read_plain(path, MAX_BYTES), MAX_PIXELS).rgb
    except (OSError, UndecodableImage) as error:
        words = getattr(error, "strerror", None) or str(error)
        raise Unusable(f"{printable(path.name)} cannot be read: {words}") from None


# --- programs -----------------------------------------------------------------------------------------------------------


@dataclass
class CommandSource:
    """A program that is run once for each picture, without a shell and without secrets."""

    command: str
    time_limit_s: int
    is_run: bool = True

    def picture(self, target: JudgedPicture) -> np.ndarray:
        """What it writes."""
        with tempfile.TemporaryDirectory(prefix="bokehflow-") as folder:
            given, made = child(Path(folder), "input.png"), child(Path(folder), "output.png")
            Image.fromarray(target.rgb).save(given, compress_level=1)
            paths = {"{input}": str(given), "{output}": str(made)}
            self._run([paths.get(word, word) for word in shlex.split(self.command)])
            if not made.exists():
                raise Unusable("the command ended well and wrote no picture")
            return checked(read_picture(made), target.rgb.shape)

    def _run(self, words: Sequence[str]) -> None:
        passed = {name: value for name, value in os.environ.items() if not any(word in name.upper() for word in SECRETS)}
        try:
            process = subprocess.Popen(
                words, stdin=subprocess.DEVNULL, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, env=passed,
                start_new_session=True,
            )  # fmt: skip
        except OSError as error:
            raise Unusable(f"the command cannot be started: {error.strerror or error}") from None
        with _Listener(process) as listener:
            try:
                code = process.wait(self.time_limit_s)
            except subprocess.TimeoutExpired:
                raise TooSlow(f"the command took longer than {self.time_limit_s} s") from None
            finally:
                _end(process)
        if code:
            raise Unusable(f"the command ended with code {code}: {listener.end()}")

    def left_over(self, missing: Sequence[str]) -> list[str]:
        """Nothing."""
        return []


def _end(process: subprocess.Popen[bytes]) -> None:
    """Whatever the program has started ends with it."""
    with contextlib.suppress(ProcessLookupError, PermissionError):
        os.killpg(process.pid, signal.SIGKILL)
    process.wait()


class _Listener:
    """Takes what a program says as it says it, so that it never waits for us nor fills a disk, and keeps the end of it."""

    def __init__(self, process: subprocess.Popen[bytes]) -> None:
        assert process.stdout is not None
        self._stream = process.stdout.fileno()
        self._pipe, self._kept = process.stdout, b""
        self._thread = threading.Thread(target=self._listen, daemon=True)

    def __enter__(self) -> "_Listener":
        self._thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        # A process that left the program's session may hold the pipe for ever.
        self._thread.join(1)
        if not self._thread.is_alive():
            self._pipe.close()

    def _listen(self) -> None:
        while heard := os.read(self._stream, SAID_BYTES):
            self._kept = (self._kept + heard)[-SAID_BYTES:]

    def end(self) -> str:
        """Its last words."""
        text = " ".join(self._kept[-SAID_CHARACTERS:].decode("utf-8", errors="replace").split())
        return "".join(character for character in text if character.isprintable()) or "it said nothing"


# --- networks and functions ---------------------------------------------------------------------------------------------

RANGES = {"unit": (0.0, 1.0), "signed": (-1.0, 1.0), "levels": (0.0, 255.0)}


class OnnxSource:
    """A network in a file: one picture in, one of the same size out."""

    is_run = True

    def __init__(self, path: Path, values: str) -> None:
        import onnxruntime

        self._low, self._high = RANGES[values]
        try:
            # From bytes: somebody else's network is not to read further files by paths that it names.
            self._session = onnxruntime.InferenceSession(
                read_plain(path, MAX_NETWORK_BYTES), providers=["CPUExecutionProvider"]
            )
        except Exception as error:  # onnxruntime has a class of its own for each kind of failure
            raise Unusable(f"{printable(str(path))} cannot be loaded: {_line(error)}") from None
        inputs, outputs = self._session.get_inputs(), self._session.get_outputs()
        if (len(inputs), len(outputs)) != (1, 1):
            has = f"{counted(len(inputs), 'input')} and {counted(len(outputs), 'output')}"
            raise Unusable(f"{path.name} has {has}; one of each is needed")
        self._input = inputs[0]
        shape = list(self._input.shape)
        if len(shape) != 4 or 3 not in (shape[1], shape[3]):
            raise Unusable(f"{path.name} takes {shape}, not [batch, 3, height, width] or [batch, height, width, 3]")
        self._channels_first = shape[1] == 3
        self._type = {"tensor(float)": np.float32, "tensor(float16)": np.float16, "tensor(uint8)": np.uint8}.get(
            self._input.type
        )
        if self._type is None:
            raise Unusable(f"{path.name} takes {self._input.type}; float, float16 or uint8 is needed")

    def picture(self, target: JudgedPicture) -> np.ndarray:
        """Its output, rounded to 8 bits."""
        values = target.rgb[None].astype(np.float32) / 255.0 * (self._high - self._low) + self._low
        given = np.ascontiguousarray(np.moveaxis(values, 3, 1) if self._channels_first else values)
        given = np.round(given).astype(np.uint8) if self._type is np.uint8 else given.astype(self._type)
        try:
            (found,) = self._session.run(None, {self._input.name: given})
        except Exception as error:  # as above
            raise Unusable(
                f"the network cannot run on {target.rgb.shape[1]}×{target.rgb.shape[0]} px: {_line(error)}"
            ) from None
        made = np.asarray(found, np.float32)
        if made.shape != given.shape:
            raise Unusable(f"the network gave {list(made.shape)} for {list(given.shape)}")
        if not np.isfinite(made).all():
            raise Unusable("the network gave numbers that are not finite")
        unit = (made - self._low) / (self._high - self._low)
        if unit.min() < -0.5 or unit.max() > 1.5:
            raise Unusable(f"the network gave {made.min():.3g} to {made.max():.3g}; set `values` to what it gives")
        picture = np.moveaxis(unit[0], 0, 2) if self._channels_first else unit[0]
        return np.round(np.clip(picture, 0, 1) * 255).astype(np.uint8)

    def left_over(self, missing: Sequence[str]) -> list[str]:
        """Nothing."""
        return []


class CallableSource:
    """A function of Python, run in this process."""

    is_run = True

    def __init__(self, named: str) -> None:
        module, _, name = named.rpartition(":")
        try:
            function = getattr(_load(module), name)
        except (Exception, SystemExit) as error:  # whatever the module raises when it is loaded
            raise Unusable(f"{printable(named)} cannot be loaded: {_line(error)}") from None
        if not callable(function):
            raise Unusable(f"{printable(named)} is no function")
        self._function = function

    def picture(self, target: JudgedPicture) -> np.ndarray:
        """What it returns."""
        try:
            made = self._function(target.rgb.copy())
        except (Exception, SystemExit) as error:  # whatever it raises
            raise Unusable(f"the function failed: {_line(error)}") from None
        return checked(made, target.rgb.shape)

    def left_over(self, missing: Sequence[str]) -> list[str]:
        """Nothing."""
        return []


def _load(module: str) -> ModuleType:
    if not module.endswith(".py"):
        return importlib.import_module(module)
    spec = importlib.util.spec_from_file_location(f"bokehflow_method_{Path(module).stem}", module)
    if spec is None or spec.loader is None:
        raise ImportError(f"{module} is no module")
    found = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(found)
    return found


def _module_file(module: str) -> Path | None:
    """The file of a module, found without importing anything of it; None where it is not there."""
    if module.endswith(".py"):
        return Path(module)
    top, *below = module.split(".")
    try:
        spec = importlib.util.find_spec(top)
    except (ImportError, ValueError):
        return None
    if spec is None:
        return None
    if not below:
        return Path(spec.origin) if spec.origin and spec.has_location else None
    folders = [Path(folder, *below) for folder in spec.submodule_search_locations or ()]
    files = [path for folder in folders for path in (folder.with_suffix(".py"), folder / "__init__.py")]
    return next((path for path in files if path.is_file()), None)


def _line(error: BaseException) -> str:
    text = " ".join(str(error).split())
    return f"{type(error).__name__}: {text[:SAID_CHARACTERS]}" if text else type(error).__name__
