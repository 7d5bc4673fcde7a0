"""`bokehflow doctor`: is everything there that a run will need, and what to do where it is not."""

import ctypes
import os
import shutil
import sys
from dataclasses import dataclass
from importlib.metadata import version
from pathlib import Path

from pipeline import weights
from pipeline.compute.engines import ADDRESS_VARIABLE, reach_problem
from pipeline.config import Project
from pipeline.errors import BokehflowError, ConfigError
from pipeline.file_names import child, expanded
from pipeline.models.torchvision_networks import SEGMENTATION_FILES
from pipeline.operations.parsers import LEARNT_FROM
from pipeline.plain_files import is_there
from resources.flickr import make_client
from resources.sources import budget_of, make_commons_client, source_problem
from storage import Home
from storage.cache import LIMIT_VARIABLE

FETCH = "`bokehflow weights` fetches them now"
UNCOUNTED = "a call is counted in the home, so none is made from one that may not be written"
SPENT = "what runs meanwhile waits by itself for calls of the next hour; ask again later whether the source answers"
A_DAY = "creationdate:>=2020-05-01 creationdate:<2020-05-02"
"""A day in the language of the search at Commons; thousands of files were uploaded on it."""
LOW_DISK_BYTES = 20 * 10**9
DRIVER = Path("/proc/driver/nvidia/version")
"""Exists where NVIDIA's driver is loaded."""
C_COMPILERS = ("gcc", "clang", "cc")
"""One of them compiles what starts the kernels that `torch.compile` makes."""
LIBRARIES = ["dagster", "torch", "torchvision", "pillow", "pyarrow", "pandas", "ai-edge-litert", "flickrapi", "imagehash"]


@dataclass(frozen=True)
class Finding:
    """One thing looked at: what was found and, where something is wrong, what to do."""

    what: str
    found: str
    remedy: str = ""
    is_fatal: bool = False

    @property
    def mark(self) -> str:
        """`ok`, `note` or `FAIL`, of equal width."""
        return "FAIL" if self.is_fatal else "note" if self.remedy else "ok  "


NO_GPU = Finding("GPU", "none", "the study's full-size recipes take days on a CPU; the smoke profile is made for it")


def examine(project: Project, home: Home, path: Path | None) -> list[Finding]:
    """All findings, in the order in which a run would stumble over them; `path` is the project file, if there is one."""
    return [
        _project_file(project, path),
        _python(),
        *_rights(home),
        *_store(home),
        *_cache(home),
        _disk(home),
        *_sources(project, home),
        *_named_files(project),
        *_too_large_recipes(project),
        *_weights(project, home),
        *_engine(project),
        _gpu(),
        Finding("libraries", ", ".join(f"{name} {version(name)}" for name in LIBRARIES)),
    ]


def _project_file(project: Project, path: Path | None) -> Finding:
    if path is None:
        return Finding("project file", "none here; what follows is about the study's", "`bokehflow init FOLDER` writes one")
    domains, recipes = ", ".join(project.domains), ", ".join(project.recipe_keys()) or "none"
    return Finding("project file", f"{path}: domains {domains}; recipes {recipes}")


def _python() -> Finding:
    return Finding("python", sys.version.split()[0])


def _rights(home: Home) -> list[Finding]:
    """Nothing to say of a home that may be written."""
    if not home.is_read_only:
        return []
    remedy = "`status`, `run --plan`, `snapshot verify` and `home copy` work as it is; a run needs the right to write there"
    return [Finding("home", f"{home.root} may not be written", remedy, is_fatal=True)]


def _store(home: Home) -> list[Finding]:
    """Whether the store of a home at an address can be used: nothing to say of a folder."""
    if home.working is None:
        return []
    what, bucket = f"home {home.working.address}", home.working.bucket
    try:
        bucket.check_conditions()
        number = bucket.number()
    except BokehflowError as error:
        remedy = f"what is here of it is in {home.root}, and goes there once that is mended"
        return [Finding(what, str(error), remedy, is_fatal=True)]
    newest = f"list {number} is its newest" if number else "nothing is there yet"
    return [Finding(what, f"answers and keeps `put if absent`; {newest}; worked on in {home.root}")]


def _cache(home: Home) -> list[Finding]:
    """What a home at an address takes here for what its store has as well: nothing to say of a folder."""
    if home.working is None:
        return []
    held = sum(state.st_size for _, state in home.working.cache.files())
    try:
        limit = home.working.cache.limit_bytes(held)
    except ConfigError as error:
        return [Finding("cache", str(error), f"correct or unset {LIMIT_VARIABLE}", is_fatal=True)]
    whence = f"by {LIMIT_VARIABLE}" if os.environ.get(LIMIT_VARIABLE) else f"half of the disk; {LIMIT_VARIABLE} sets another"
    remedy = "" if held <= limit else "what a command has opened, or is not sent yet, stays until it has ended or is sent"
    found = f"{held / 1e9:.2f} of at most {limit / 1e9:,.2f} GB for photos, shards, weights and models ({whence})"
    return [Finding("cache", found, remedy)]


def _disk(home: Home) -> Finding:
    existing = next(folder for folder in (home.root, *home.root.parents) if folder.exists())
    free = shutil.disk_usage(existing).free
    ways = "`bokehflow snapshot delete` frees what nothing needs any more; or name another home with --home"
    remedy = f"100,000 photos need about 40 GB: make room, {ways}" if free < LOW_DISK_BYTES else ""
    return Finding("disk", f"{free / 1e9:.0f} GB free for {home.root}", remedy)


def _sources(project: Project, home: Home) -> list[Finding]:
    """One line for each source that a domain with queries asks; a cheap call shows whether it answers."""
    asked = sorted({domain.source for domain in project.domains.values() if domain.queries})
    hosts = project.lists.image_hosts
    lists = [Finding("lists", f"their pictures come from {', '.join(hosts)}")] if hosts else []
    if not asked:
        none = "no domain has queries: photos come by `bokehflow import`, and no key is needed"
        return [Finding("sources", none), *lists]
    checks = {"flickr": _flickr, "commons": _commons}
    return [*(checks[source](project, home) for source in asked), *lists]


def _flickr(project: Project, home: Home) -> Finding:
    if problem := source_problem(project, "flickr"):
        return Finding("Flickr key", "not set", problem, is_fatal=True)
    calls = budget_of(project, "flickr", home).left()
    left = f"{calls:,} of {project.flickr.calls_per_hour:,} calls left this hour"
    if why_not := _not_to_be_asked(home, calls):
        return Finding("Flickr", f"not asked; {left}", why_not)
    try:
        make_client(project, home).check_key()
    except BokehflowError as error:
        return Finding("Flickr", f"{project.flickr.endpoint} did not accept a call", str(error), is_fatal=True)
    return Finding("Flickr", f"{project.flickr.endpoint} accepts the key; {left}")


def _not_to_be_asked(home: Home, calls_left: int) -> str | None:
    """Why a source is not asked now; None where it is. With no call left the question would wait for up to an hour."""
    if home.is_read_only:
        return UNCOUNTED
    return None if calls_left else SPENT


def _commons(project: Project, home: Home) -> Finding:
    if problem := source_problem(project, "commons"):
        return Finding("Commons", "nobody to reach is named", problem, is_fatal=True)
    endpoint, calls = project.commons.endpoint, budget_of(project, "commons", home).left()
    if why_not := _not_to_be_asked(home, calls):
        left = f"{calls:,} of {project.commons.calls_per_hour:,} calls left this hour"
        return Finding("Commons", f"not asked; {left}", why_not)
    try:
        makes_windows = make_commons_client(project, home).search(f"filetype:bitmap {A_DAY}").total > 0
    except BokehflowError as error:
        return Finding("Commons", f"{endpoint} did not accept a call", str(error), is_fatal=True)
    if not makes_windows:
        what = f"{endpoint} finds nothing by {A_DAY!r}: its search does not know days of upload, and would list nothing"
        return Finding("Commons", what, "name the service's own address in `[commons] endpoint`", is_fatal=True)
    return Finding("Commons", f"{endpoint} answers; {budget_of(project, 'commons', home).left():,} calls left this hour")


def corrupt_photos(home: Home) -> list[Finding]:
    """Photos whose bytes are not those that came: every byte in the home is read. One line where all are right."""
    remedy = "delete the file; `bokehflow run` fetches it again, `bokehflow import` brings yours"
    found = [Finding("photo", f"{path}: is corrupt", remedy, is_fatal=True) for path in home.blobs.corrupt()]
    return found or [Finding("photos", "every file is what it was when it came")]


def _named_files(project: Project) -> list[Finding]:
    """What the project file names and people give, where it is not there: a stage would ask for it days later."""
    named = {
        "[masks] folder": project.masks.folder,
        "[depth] folder": project.depth.folder,
        "[depth] network": project.depth.network,
    }
    remedy = "put it there, or correct the project file"
    lost = ((key, expanded(text)) for key, text in named.items() if text is not None)
    return [Finding(key, f"{path}: is not there", remedy, is_fatal=True) for key, path in lost if not path.exists()]


def _too_large_recipes(project: Project) -> list[Finding]:
    """Recipes that would train on the next snapshot by themselves, were its pictures not too small for them."""
    stored_px = project.dataset.stored_px
    sizes = {name: project.recipes[name].resolved().size_px for name in project.training.automatic}
    remedy = "raise [dataset] size_px, lower the recipe's, or take it out of [training] automatic"
    return [
        Finding(f"recipe {name}", f"trains at {size_px} px; snapshots hold pictures of {stored_px}", remedy, is_fatal=True)
        for name, size_px in sizes.items()
        if size_px > stored_px
    ]


def _weights(project: Project, home: Home) -> list[Finding]:
    return [_weights_of(name, home) for name in project.needed_weights()]


def _weights_of(name: str, home: Home) -> Finding:
    what = f"weights of {name}"
    if name in LEARNT_FROM:
        from pipeline.models.parts_networks import parts_path

        path = parts_path(name, home.weights)
        missing = Finding(what, f"{path}: not there yet; the first run learns it from the rendered scenes", FETCH)
        return Finding(what, f"{path}: there") if is_there(path) else missing
    if name not in weights.WEIGHTS:
        from pipeline.models.vgg import VGG19_FILE

        path = child(home.weights, {**SEGMENTATION_FILES, "vgg19": VGG19_FILE}[name])
        if is_there(path):
            return Finding(what, f"{path}: there")
        return Finding(what, f"{path}: not there yet; the first run fetches it from torchvision", FETCH)
    found = weights.status(name, home.weights)
    remedy = FETCH if found.state == "missing" else ""
    return Finding(what, found.message, remedy, is_fatal=found.state == "altered")


def _engine(project: Project) -> list[Finding]:
    """Where stages run: nothing to say of threads."""
    name, address = project.compute.engine, os.environ.get(ADDRESS_VARIABLE) or None
    if name == "local":
        return []
    what, place = f"engine {name}", f"at {address}" if address else f"on this machine's {os.cpu_count()} cores"
    if problem := reach_problem(name, address):
        return [Finding(what, f"cannot be used {place}", problem, is_fatal=True)]
    return [
        Finding(what, f"{'answers' if address else 'works'} {place}; batches of {project.compute.batch_size:,} pictures")
    ]


def _gpu() -> Finding:
    """Where CUDA's driver is not installed there is nothing to ask torch, which takes seconds to import."""
    if not (DRIVER.exists() or _has_driver_library()):
        return NO_GPU
    import torch

    if torch.cuda.is_available():
        memory_gib = torch.cuda.get_device_properties(0).total_memory / 2**30
        compiles = any(shutil.which(compiler) for compiler in (os.environ.get("CC", ""), *C_COMPILERS))
        remedy = "" if compiles else "install a C compiler, such as gcc: without one, long runs go on at half the speed"
        return Finding("GPU", f"{torch.cuda.get_device_name()}, {memory_gib:.0f} GiB", remedy)
    if DRIVER.exists():
        remedy = f"update the driver: it is too old for CUDA {torch.version.cuda}, so training would take days on the CPU"
        return Finding("GPU", "there is one that torch cannot use", remedy)
    return NO_GPU


def _has_driver_library() -> bool:
    try:
        ctypes.CDLL("libcuda.so.1")
    except OSError:
        return False
    return True
