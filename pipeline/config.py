"""The project file `bokehflow.toml` as frozen models; unknown keys are refused, with file and line.

What a key means stands at its field. Paths and secrets do not belong here: data lives in `BOKEHFLOW_HOME`,
keys come from the environment.
"""

import calendar
import hashlib
import re
import shlex
from collections.abc import Iterable, Iterator, Set
from difflib import get_close_matches
from pathlib import Path
from typing import Annotated, Literal
from urllib.parse import urlsplit

from pydantic import AfterValidator, BaseModel, ConfigDict, Field, ValidationError, field_validator, model_validator
from pydantic_core import InitErrorDetails, PydanticCustomError

from pipeline.errors import ConfigError, UnsafeName
from pipeline.file_names import expanded, is_plain_file
from pipeline.hint_table import NUMBERS
from pipeline.licenses import KNOWN, LICENSES, license_id
from pipeline.links import is_web
from pipeline.models import (
    MODELS_OF_ONE_DOMAIN,
    MODELS_THAT_NEED_MASKS,
    MODELS_WITH_MASK_LOSS,
    OWN_OUTPUTS,
)
from pipeline.picture_layers import DEPTH_UNIT_FORM, DEPTH_UNIT_WORDS
from pipeline.plain_files import read_plain_text
from pipeline.toml_lines import explained, key_lines, line_of, parse_toml
from pipeline.training.recipes import PROFILES, SettingsError, TrainingSettings, resolve, within_int64

EARLIEST_MONTH = "2004-02"
"""Flickr opened in February 2004; nothing was uploaded before."""


def _month(value: str) -> str:
    if not re.fullmatch(r"[0-9]{4}-(0[1-9]|1[0-2])", value):
        raise ValueError(f"{value!r} is not a month; write it like 2024-03")
    if value < EARLIEST_MONTH:
        raise ValueError(f"{value!r} lies before {EARLIEST_MONTH}, when Flickr opened")
    return value


def _name(value: str) -> str:
    if not re.fullmatch(r"[a-z][a-z0-9_]{0,39}", value):
        raise ValueError(f"{value!r} is not a usable name: lower-case letters, digits and _, at most 40, a letter first")
    return value


CRON_FIELDS = (("minute", 0, 59), ("hour", 0, 23), ("day", 1, 31), ("month", 1, 12), ("weekday", 0, 7))


MOST_TIMEOUT_S = 3600


def _host(value: str) -> str:
    """A host as requests are compared with it: no address, whose other parts would never match."""
    if re.fullmatch(r"(?:\[[0-9A-Fa-f:.]+\]|[\w.-]+)(?::[0-9]{1,5})?", value):
        return value
    host = urlsplit(value if "//" in value else f"//{value}").netloc
    raise ValueError(f"{value!r} is no host; write {host if host else 'one'} alone, like images.example.org")


Host = Annotated[str, AfterValidator(_host)]


def _path(value: str) -> str:
    try:
        expanded(value)
    except UnsafeName as error:
        raise ValueError(str(error)) from None
    return value


FilePath = Annotated[str, AfterValidator(_path)]
"""What a person names in their own project file, which may lie anywhere."""


def _words(value: str) -> str:
    if not value.replace(",", " ").strip():
        raise ValueError(f"{value!r} has no word to search for; leave it out")
    return value


Words = Annotated[str, AfterValidator(_words)]
"""What a source searches for."""


def _depth_unit(value: str) -> str:
    found = re.fullmatch(DEPTH_UNIT_FORM, value.strip())
    if found is None or float(found[2] or 1) <= 0:
        raise ValueError(f"{value!r} is no unit of depth; write {DEPTH_UNIT_WORDS}")
    return value


def _cron(value: str) -> str:
    """The part of cron's language that has no names: numbers, ranges, lists, `*` and steps."""
    fields = value.split(" ")
    if len(fields) != len(CRON_FIELDS):
        raise ValueError(f"{value!r} is no cron expression; write it like 0 3 * * 1")
    _, _, days, months, _ = (_cron_numbers(text, *field) for text, field in zip(fields, CRON_FIELDS, strict=True))
    if min(days) > max(calendar.monthrange(2024, month)[1] for month in months):
        raise ValueError(f"{value!r} names a day that none of its months has")
    return value


def _cron_numbers(text: str, name: str, lowest: int, highest: int) -> set[int]:
    numbers: set[int] = set()
    for part in text.split(","):
        found = re.fullmatch(r"(?:\*|([0-9]+)-([0-9]+))(?:/([0-9]+))?|([0-9]+)", part)
        if found is None:
            raise ValueError(f"the {name} {text!r} is none of a cron expression; write it like 0 3 * * 1")
        first, last, step, single = (None if group is None else int(group) for group in found.groups())
        first, last = (lowest, highest) if first is None or last is None else (first, last)
        first, last = (first, last) if single is None else (single, single)
        if not lowest <= first <= last <= highest or (step is not None and not 1 <= step <= highest):
            raise ValueError(f"the {name} {text!r} is not within {lowest} to {highest}")
        if single is None and (first == last or (step or 1) > last):  # of which Dagster makes all that there is
            raise ValueError(f"the {name} {part!r} is {first} alone; write {first}")
        numbers.update(range(first, last + 1, step or 1))
    return numbers


Month = Annotated[str, AfterValidator(_month)]
"""An upload month in UTC, like `2024-03`."""
Name = Annotated[str, AfterValidator(_name)]
"""A name that can stand in file names and partition keys."""


def _license(value: str) -> str:
    found = license_id(value)
    if found not in KNOWN:
        raise ValueError(_no_license(value))
    return found


def _no_license(value: str) -> str:
    ids = {license.name: license.id for license in LICENSES.values()}
    alike = [f"{ids[name]} ({name})" for name in get_close_matches(value, ids, 2)]
    meant = f"; did you mean {' or '.join(alike)}?" if alike else ""
    return f"{value!r} is no id of Flickr's licences, which are {', '.join(LICENSES)}{meant}"


NO_JOB = {"--array", "--help", "--test-only", "--usage", "--version", "--wrap"}


def _slurm_option(value: str) -> str:
    if not re.fullmatch(r"--[a-z][a-z-]*(=[^\s\x00-\x1f]+)?", value):
        raise ValueError(f"{value!r} is no option of sbatch; write it like --partition=gpu")
    if any(one.startswith(value.partition("=")[0]) for one in NO_JOB):  # sbatch takes beginnings of names
        raise ValueError(f"{value!r} makes sbatch start several jobs or none; leave it out")
    return value


class _Section(BaseModel):
    # A snapshot keeps its settings as JSON, which has no infinity.
    model_config = ConfigDict(frozen=True, extra="forbid", strict=True, allow_inf_nan=False)

    @field_validator("*", mode="before")
    @classmethod
    def _can_be_handed_on(cls, value: object) -> object:
        for one in value if isinstance(value, list) else [value]:
            if isinstance(one, str) and "\0" in one:
                raise ValueError("has a NUL character, which no name of a file and no word of a command can have")
        return within_int64(value)

    def version(self, without: Set[str] = frozenset()) -> str:
        """Digest of the values, but for the keys `without`, for the input version of what depends on them."""
        return hashlib.sha256(self.model_dump_json(exclude=set(without)).encode()).hexdigest()[:16]


class ProjectSection(_Section):
    """`[project]`"""

    name: Name = "portraits"
    """Shown in reports."""
    contact: str = ""
    """An e-mail or web address, sent in the User-Agent so that Flickr can reach you."""


class FlickrSection(_Section):
    """`[flickr]`: where Flickr is and how hard it may be asked."""

    endpoint: str = "https://api.flickr.com/services/rest/"
    """Address of the REST calls; an emulator's for trials."""
    image_hosts: list[Host] = ["live.staticflickr.com"]
    """Hosts (with `:port` where it is not the usual one) that pictures may come from, redirects included. A machine of
    your own network counts only by its address, or as `localhost`: a name that leads to one is refused."""
    calls_per_hour: int = Field(default=3600, ge=1)
    """Budget of API calls for the key, over all processes of the home; Flickr disables keys beyond 3,600."""
    timeout_s: float = Field(default=30.0, gt=0, le=MOST_TIMEOUT_S)
    """How long an answer may take."""
    retries: int = Field(default=5, ge=0)
    """Further tries after a failure that may pass."""


class CommonsSection(_Section):
    """`[commons]`: where Wikimedia Commons is and how hard it may be asked."""

    endpoint: str = "https://commons.wikimedia.org/w/api.php"
    """Address of the API; an emulator's for trials."""
    image_hosts: list[Host] = ["upload.wikimedia.org"]
    """Hosts (with `:port` where it is not the usual one) that its pictures may come from."""
    calls_per_hour: int = Field(default=3600, ge=1)
    """Budget of API calls, shared by all processes of this home; they are made one at a time."""
    timeout_s: float = Field(default=30.0, gt=0, le=MOST_TIMEOUT_S)
    """How long an answer may take."""
    retries: int = Field(default=5, ge=0)
    """Further tries after a failure that may pass."""


LIST_ENDINGS = (".csv", ".tsv", ".jsonl", ".ndjson", ".parquet")
"""Of lists of addresses."""


def _list_files(names: list[str]) -> list[str]:
    """Lists are known by their files' names, wherever these lie."""
    files = [Path(name).name for name in names]
    if odd := [name for name in names if Path(name).suffix.lower() not in LIST_ENDINGS]:
        raise ValueError(f"{odd[0]!r} is no list of addresses, whose names end in {', '.join(LIST_ENDINGS)}")
    if twice := [name for name in files if files.count(name) > 1]:
        raise ValueError(f"two lists are called {twice[0]!r}; a list is known by its file's name")
    return names


class ListsSection(_Section):
    """`[lists]`: where the pictures of lists of addresses may come from, those of domains and those that `bokehflow import`
    fetches."""

    image_hosts: list[Host] = []
    """Hosts (with `:port` where it is not the usual one) that may be asked, redirects included; no others are."""
    timeout_s: float = Field(default=30.0, gt=0, le=MOST_TIMEOUT_S)
    """How long a picture may take to begin."""
    retries: int = Field(default=2, ge=0)
    """Further tries after a failure that may pass."""


class CollectSection(_Section):
    """`[collect]`: which months, and when they are looked at again."""

    from_month: Month = Field(default="2016-09", alias="from")
    """First upload month. The iPhone 7 of the study came out in September 2016."""
    to_month: Month | None = Field(default=None, alias="to")
    """Last upload month; without it, the current month."""
    schedule: Annotated[str, AfterValidator(_cron)] = "0 3 * * 1"
    """Cron expression (UTC) of the re-scrape: the current and the last month, and some older ones in rotation."""
    rescrape_weeks: int = Field(default=12, ge=1, le=1_000_000)
    """Every older month is listed again once within so many weeks, a few at each tick of the schedule."""
    checks_per_run: int = Field(default=500, ge=0)
    """At most so many photos that a re-listing no longer shows are asked about, one API call each, in one run."""

    @model_validator(mode="after")
    def _ordered(self) -> "CollectSection":
        if self.to_month is not None and self.to_month < self.from_month:
            raise ValueError(f"the last month {self.to_month} lies before the first, {self.from_month}")
        return self


class Query(_Section):
    """`[[domains.NAME.queries]]`: one Flickr search."""

    text: str = ""
    """Searched in title, description and tags."""
    tags: list[Words] = []
    """All of these tags must be there."""
    exclude_tags: list[Words] = []
    """Photos with any of these tags are dropped; tags are compared lower-case and without spaces."""
    categories: list[Words] = []
    """Wikimedia Commons only: the photo is in all of these categories, like `Taken with Apple iPhone 7`."""
    camera: str | None = None
    """`brand/model` as in Flickr's camera finder, like `apple/iphone_7`; at Commons the camera's item, like `Q23892`."""
    licenses: list[Annotated[str, AfterValidator(_license)]] = []
    """Accepted licences, as ids of Flickr's or names like `CC BY-SA 3.0`; empty accepts all of them."""
    safe_search: Literal[1, 2, 3] = 1
    """1 safe, 2 moderate, 3 restricted; without a login Flickr shows safe ones only."""
    from_month: Month | None = Field(default=None, alias="from")
    """First upload month of this query, where it is not that of `[collect]`."""
    to_month: Month | None = Field(default=None, alias="to")
    """Last upload month of this query, where it is not that of `[collect]`."""
    limit_per_month: int | None = Field(default=None, ge=1)
    """At most so many accepted photos for each upload month."""
    max_edge_px: int | None = Field(default=None, ge=64)
    """Preferred size of this query's photos: the largest up to this long edge, in place of `photos.max_edge_px`."""

    @model_validator(mode="after")
    def _not_empty(self) -> "Query":
        if not (self.text.strip() or self.tags or self.camera or self.categories):
            raise ValueError("a query needs at least one of text, tags, camera and categories: an empty search is refused")
        if self.from_month and self.to_month and self.to_month < self.from_month:
            raise ValueError(f"the last month {self.to_month} lies before the first, {self.from_month}")
        return self

    def covers(self, month: str) -> bool:
        """Whether photos uploaded in `month`, like `2024-03`, are asked for."""
        return (self.from_month or month) <= month <= (self.to_month or month)


class Domain(_Section):
    """`[domains.NAME]`: one side of the translation."""

    title: str = ""
    """For people."""
    source: Literal["flickr", "commons"] = "flickr"
    """Where its queries are asked: Flickr, or Wikimedia Commons, which needs no key but `[project] contact`."""
    lists: Annotated[list[FilePath], AfterValidator(_list_files)] = []
    """Lists of addresses (CSV, TSV, JSON Lines or Parquet with a column `url`), relative to the project file: their photos
    belong to this domain, and each list is read again when its file has changed, and by the weekly schedule."""
    queries: list[Query] = []
    """One table `[[domains.NAME.queries]]` for each search; a photo that several find belongs to the first. A domain
    without queries gets its photos by its lists and by `bokehflow import`."""


class PhotosSection(_Section):
    """`[photos]`: what is downloaded and what is refused."""

    max_edge_px: int = Field(default=1600, ge=64)
    """The largest size up to this long edge is fetched; the study took 1600."""
    min_edge_px: int = Field(default=256, ge=1)
    """Pictures whose short edge is smaller are refused (`too_small`)."""
    max_bytes: int = Field(default=50_000_000, ge=1)
    """Larger files are refused (`too_large`)."""
    max_pixels: int = Field(default=60_000_000, ge=1)
    """Pictures with more pixels are refused (`too_many_pixels`)."""
    threads: int = Field(default=8, ge=1, le=64)
    """Downloads at a time, at most; a host that refuses or slows down is asked less until it recovers."""
    exclude_no_cv: bool = True
    """Drop photos whose owner tagged them `no_cv`: not for computer vision."""


class ComputeSection(_Section):
    """`[compute]`: where hints, masks, fingerprints and training pictures are made. The result is the same."""

    engine: Literal["local", "dask", "ray"] = "local"
    """`local`: this machine's cores, by threads where pictures are few and by processes where they are many. The others
    need an extra, `bokehflow[dask]` or `bokehflow[ray]`, and a home in a folder that all machines see, or in a bucket;
    `BOKEHFLOW_ENGINE_ADDRESS` says where the cluster is, without it this machine's cores are used."""
    batch_size: int = Field(default=256, ge=1, le=10_000)
    """Pictures that a worker gets at once: what is repeated after it died."""
    retries: int = Field(default=3, ge=0, le=100)
    """Further tries of a batch whose worker died, before it is halved to find the picture."""


class DedupeSection(_Section):
    """`[dedupe]`: when two pictures count as one."""

    verify: bool = True
    """Look at the pixels. `false` reproduces the study, which looked at none: only photos, bytes, and resolution
    together with file size are compared."""
    radius_bits: int = Field(default=6, ge=0, le=16)
    """Pictures are candidates when the perceptual hash of one lies within this Hamming distance of that of the other,
    of its mirror image, or of one of ten windows in it; `bokehflow duplicates` shows what lies how near."""
    min_correlation: float = Field(default=0.88, ge=0.85, le=1)
    """Candidates are aligned on thumbnails and are decoded in full from this correlation on."""
    min_detail: float = Field(default=0.9, ge=0, le=1)
    """They are duplicates when, decoded in full and aligned, four fifths of their structured parts correlate so well."""
    prefer_domain: Name | None = None
    """A picture in several domains stays in this one; without it, it goes from all (`both_domains`)."""
    min_bytes: int = Field(default=0, ge=0)
    """Smaller files are dropped (`small_file`); the study's code used 100,000 and its paper does not say so."""


def _hint(name: str) -> str:
    if name not in NUMBERS:
        raise ValueError(f"{name!r} is no hint with a number; there are {', '.join(NUMBERS)}")
    return name


class CurationRule(_Section):
    """`[[curation.rules]]`: a threshold that decides by itself what nobody has decided; a person's word always wins."""

    name: Name
    """Stands as the curator, `rule:NAME`, of what it decides."""
    hint: Annotated[str, AfterValidator(_hint)]
    """The number that is looked at; docs/curation.md says what each means."""
    below: float | None = None
    """Decides where the number is smaller."""
    above: float | None = None
    """Decides where the number is larger."""
    decision: Literal["keep", "drop"] = "drop"
    """What is decided."""
    reason: Literal["wrong_tag", "unfit_blur", "no_person", "edited", "inappropriate"] | None = None
    """Why, for `drop`."""
    domain: Name | None = None
    """Only photos of this domain; without it, of all."""

    @model_validator(mode="after")
    def _complete(self) -> "CurationRule":
        if (self.below is None) == (self.above is None):
            raise ValueError("a rule needs a threshold: either below or above")
        if (self.decision == "drop") != (self.reason is not None):
            raise ValueError("a rule that drops needs a reason, and only such a rule has one")
        return self


ConflictRule = Literal["wait", "drop", "keep"]


class CurationSection(_Section):
    """`[curation]`: the queue and what makes a curated set complete."""

    batch_size: int = Field(default=500, ge=1, le=100_000)
    """Photos in one CSV of the queue."""
    min_kept_per_domain: int = Field(default=10, ge=1)
    """The curated photos are not passed on before each domain has this many."""
    shallow_domains: list[Name] = ["shallow"]
    """Domains whose photos should have a shallow depth of field; the suggestions go by it. Without it, `domain_b`."""
    deep_domains: list[Name] = ["ordinary"]
    """Domains whose photos should be sharp from front to back. Without it, `domain_a`."""
    learn_from: int = Field(default=200, ge=50)
    """From so many decisions on a small model is learnt that orders the queue; it never decides."""
    double_review: float = Field(default=0.0, ge=0, le=1)
    """Share of the photos that two people decide, neither seeing what the other said; `bokehflow status` tells how far
    they agree. The review page hands such a photo to a second curator."""
    conflicts: ConflictRule = "wait"
    """What becomes of a photo of the double review about which the two differ, until one gives in or a third person
    decides: `wait`: it is left out; `drop` and `keep`: whoever says so counts. Where both would keep it, in different
    domains, it waits."""
    people: bool = True
    """Whether the photos are of people: only then is one suggested to go for having none, for being drawn or monochrome,
    or for its depth of field. Without it, not where `[masks] segmenter` is `none`."""
    inappropriate_model: bool = False
    """Let OpenNSFW (fetched once, 22 MB) rate every picture for the hint `inappropriate`."""
    rules: list[CurationRule] = []
    """Thresholds that may decide by themselves; none by default. One table `[[curation.rules]]` for each."""

    @model_validator(mode="after")
    def _distinct_rules(self) -> "CurationSection":
        names = [rule.name for rule in self.rules]
        if len(set(names)) < len(names):
            raise ValueError(f"rules {names} name one twice")
        if both := set(self.shallow_domains) & set(self.deep_domains):
            raise ValueError(f"{sorted(both)} cannot be both shallow and deep")
        return self


class MasksSection(_Section):
    """`[masks]`: the subject's alpha."""

    segmenter: Literal["selfie", "deeplabv3_resnet101", "deeplabv3_mobilenet", "folder", "none"] = "selfie"
    """`selfie`: MediaPipe's small model, embedded; `deeplabv3_resnet101`, `deeplabv3_mobilenet`: torchvision's, the
    study's family; `folder`: masks that you give; `none`: no masks and no people, for any two collections."""
    folder: FilePath | None = None
    """For `segmenter = "folder"`: where the given masks lie, relative to the project file; PNGs (or TIFF, WebP, BMP,
    JPEG) named by photo id, with `_` for `:`, or by the SHA-256 of the picture. White, or a file's alpha, is subject."""
    views: Literal[1, 2, 4] = 4
    """Views of each picture that `selfie` takes: 1 as it is, 2 and mirrored, 4 and both by the network for landscapes."""
    second_opinion: bool = True
    """Where the views of `selfie` disagree, a slower network (U²-Netp) looks too, a third of a second a picture."""
    others: Literal["drop", "keep", "nearest"] = "drop"
    """People besides the subject: `drop` keeps who has the highest score (area × place × sharpness) and who comes near
    it, as in a group; `keep` everybody; `nearest` who is nearest to the camera, and who is as near, by the maps of
    `[depth]`."""
    refine: list[Literal["colour", "edges"]] = ["edges"]
    """What the picture itself sets right: `edges` moves the alpha's edge to the picture's; `colour` decides regions where
    the segmenter is unsure, which helps on rendered scenes with large blurred lights and not on photographs."""
    long_side_px: int = Field(default=512, ge=64)
    """Alpha is stored at this long side at most."""
    min_coverage: float = Field(default=0.02, ge=0, le=1)
    """Pictures whose subject covers a smaller share are left out (`no_subject`)."""

    @model_validator(mode="after")
    def _folder_if_given(self) -> "MasksSection":
        if (self.segmenter == "folder") != (self.folder is not None):
            raise ValueError('segmenter = "folder" and folder = "PATH" go together: one is missing')
        return self

    @property
    def least_coverage(self) -> float:
        """`min_coverage`, but where nobody is looked for: there every picture stays."""
        return 0.0 if self.segmenter == "none" else self.min_coverage

    @property
    def asks_depth(self) -> bool:
        """Whether the subject is chosen by depth. Where no segmenter tells who is there, nobody is chosen."""
        return self.others == "nearest" and self.segmenter not in ("folder", "none")

    def needed_weights(self) -> list[str]:
        """Names of the segmenter's weights; where masks are given, of the embedded one's, which stands in elsewhere."""
        if self.segmenter == "none":
            return []
        if self.segmenter not in ("selfie", "folder"):
            return [self.segmenter]
        landscape = ["selfie_landscape"] if self.views == 4 else []
        return ["selfie", *landscape, *(["u2netp"] if self.second_opinion and self.views > 1 else [])]


ESTIMATORS = r"^(none|folder|depth_anything_v2_small|midas_small|onnx|run:[A-Za-z0-9][A-Za-z0-9_.@-]{0,199})$"


class DepthSection(_Section):
    """`[depth]`: how far away everything in the photos is, for models that learn from it."""

    estimator: Annotated[str, Field(pattern=ESTIMATORS)] = "none"
    """`none`: nobody is asked; `folder`: maps that you give; `run:NAME`: a finished run of a model of depth in this
    home; `depth_anything_v2_small`, `midas_small`: these networks, exported as ONNX; `onnx`: any network of depth. What
    came with imported photos counts before what is estimated."""
    folder: FilePath | None = None
    """For `estimator = "folder"`: where the maps lie, relative to the project file; PNG, TIFF of 16 bits or .npy, named by
    photo id, with `_` for `:`, or by the SHA-256 of the picture."""
    unit: Annotated[str, AfterValidator(_depth_unit)] | None = None
    """What their numbers mean: `mm`, `m`, `dioptre`, `disparity`; with steps as in `m/5000`. It is not guessed."""
    network: FilePath | None = None
    """For `depth_anything_v2_small`, `midas_small` and `onnx`: the file of the network, relative to the project file. It
    is not fetched: no digest of it is published that it could be checked by."""
    network_sees: Literal["imagenet", "unit", "bytes"] = "imagenet"
    """For `onnx`: how RGB reaches the network: less ImageNet's mean by its deviation, 0 to 1, or 0 to 255."""
    network_side_px: int = Field(default=256, ge=32, le=2048)
    """For `onnx`: short side of the picture that the network sees, unless its file has a size of its own."""
    network_multiple_px: int = Field(default=32, ge=1, le=128)
    """For `onnx`: both sides are multiples of it."""
    network_gives: Literal["disparity", "m"] = "disparity"
    """For `onnx`: disparity of unknown scale and shift, larger is nearer, or distance in metres."""
    long_side_px: int = Field(default=512, ge=64)
    """Long side at which photos' depth is estimated by a network."""

    @property
    def asks_file(self) -> bool:
        """Whether the depth comes from a network in a file."""
        return self.estimator in ("depth_anything_v2_small", "midas_small", "onnx")

    @property
    def predictor(self) -> str | None:
        """The run or the file of the network that predicts depth; None where none does."""
        return self.estimator.removeprefix("run:") if self.estimator.startswith("run:") else self.network

    @model_validator(mode="after")
    def _network_if_asked(self) -> "DepthSection":
        if self.asks_file != (self.network is not None):
            named = f"estimator = {self.estimator!r}" if self.asks_file else "estimator = 'onnx' or the name of a network"
            raise ValueError(f'{named} and network = "FILE.onnx" go together: one is missing; docs/depth.md says which file')
        form = sorted(self.model_fields_set & {f"network_{name}" for name in ("sees", "side_px", "multiple_px", "gives")})
        if form and self.estimator != "onnx":
            raise ValueError(f"{', '.join(form)}: only for estimator = 'onnx'; named networks have their own")
        return self

    @model_validator(mode="after")
    def _folder_if_given(self) -> "DepthSection":
        if (self.estimator == "folder") != (self.folder is not None) or (self.folder is None) != (self.unit is None):
            raise ValueError('estimator = "folder", folder = "PATH" and unit = "mm" go together: one is missing')
        return self


class DatasetSection(_Section):
    """`[dataset]`: training pictures and their split."""

    crop: Literal["centre", "subject", "tiles"] = "centre"
    """Which square of a photo is taken: `centre`, as the study; `subject`: as large, moved so that no head is cut;
    `tiles`: many small ones that cover all of it, for training at the photo's own resolution."""
    size_px: int = Field(default=256, ge=32, le=2048)
    """Side of the training pictures."""
    stored_size_px: int | None = Field(default=None, ge=32, le=2048)
    """Side at which they are stored, where training cuts random windows: 286 for `size_px = 256` and a recipe with
    `crop_margin = 0.117`. Without it, `size_px`."""
    tile_px: int | None = Field(default=None, ge=32, le=8192)
    """For `crop = "tiles"`: side of a tile in the photo's own pixels, scaled to the stored size. Without it, the stored
    size, so nothing is scaled. Photos with a shorter edge have no tile and are listed by the check of `training_images`.
    Masks are as fine as `long_side_px` of `[masks]`."""
    tile_overlap: float = Field(default=0.0, ge=0, le=0.9)
    """For `crop = "tiles"`: the least share of their side that neighbours have in common."""
    max_tiles: int | None = Field(default=None, ge=1)
    """For `crop = "tiles"`: at most so many of a photo, always the same ones; without it, all."""
    split: Literal["share", "study", "given"] = "share"
    """`share`: test where the hash of the split key is below the domain's `test_share`; `study`: the 100 lowest
    hashes of `domain_a` and none of `domain_b`; `given`: as the folders `testA` and `testB` or a column `split` said
    when the photos were imported, train where nothing was said."""
    test_share: dict[Name, Annotated[float, Field(ge=0, le=1)]] = {"ordinary": 0.05, "shallow": 0.0}
    """For `split = "share"`: the share of each domain that is held back for testing. Without it, .05 of `domain_a`."""
    shard_rows: int = Field(default=1024, ge=1)
    """Pictures in one shard."""

    @model_validator(mode="after")
    def _stored_large_enough(self) -> "DatasetSection":
        if self.stored_px < self.size_px:
            raise ValueError(f"stored_size_px = {self.stored_px} is smaller than size_px = {self.size_px}")
        return self

    @model_validator(mode="after")
    def _tiles_fit(self) -> "DatasetSection":
        if self.crop != "tiles" and (self.tile_px, self.tile_overlap, self.max_tiles) != (None, 0.0, None):
            raise ValueError('tile_px, tile_overlap and max_tiles are for crop = "tiles"')
        if self.tile_px is not None and self.tile_px < self.stored_px:
            raise ValueError(f"tile_px = {self.tile_px} is smaller than the stored size, {self.stored_px}")
        return self

    @property
    def stored_px(self) -> int:
        """Side of the squares in the shards."""
        return self.stored_size_px or self.size_px


class Recipe(_Section):
    """`[recipes.NAME]`: a model, a profile of settings, seeds, and what differs from the profile."""

    model: Literal[
        "cyclegan",
        "mask_loss",
        "mask_overlay",
        "mask_loss_overlay",
        "one_sided",
        "semantic",
        "depth",
        "refocus",
        "pix2pix",
        "defocus",
    ]
    """Which model is trained: the study's four; `one_sided`, without a way back; `semantic`, for any two collections.
    `depth` and `refocus` predict how far away everything is, for which pictures of `domain_a` need depth;
    `bokehflow refocus --model` applies them. `pix2pix` does so too, as the second study did. `defocus` paints what a
    lens would show, told what should be sharp, as the fourth study did: `translate` tells it the subject."""
    profile: str = "study"
    """Set of settings to start from: `study`, `corrected`, `small` (one core, two minutes), `smoke` (rendered scenes); for
    two collections of any kind `collections`, or `collections_small` (rendered scenes);
    `depth` for `depth` and `refocus`; `pix2pix`, or `pix2pix_small` (one core), for `pix2pix`;
    `defocus` for that model."""
    seeds: list[Annotated[int, Field(ge=0, lt=2**63)]] = Field(default=[0], min_length=1)
    """One training run for each."""
    settings: dict[str, object] = {}
    """Settings that differ from the profile's; see below."""

    @model_validator(mode="after")
    def _distinct_seeds(self) -> "Recipe":
        if len(set(self.seeds)) < len(self.seeds):
            raise ValueError(f"seeds {self.seeds} name one twice")
        return self

    @model_validator(mode="after")
    def _output_fits_model(self) -> "Recipe":
        told = self.settings.get("output", PROFILES[self.profile].output if self.profile in PROFILES else None)
        own = OWN_OUTPUTS.get(self.model)
        if told is not None and (told != own if own else told in OWN_OUTPUTS.values()):
            profile = self.model if self.model in PROFILES else "depth"
            remedy = f"take the profile `{profile}`" if own else "take another profile or output"
            raise ValueError(f"the model {self.model} cannot put out {told!r}: {remedy}")
        return self

    def resolved(self) -> TrainingSettings:
        """The profile's settings with this recipe's own laid over them."""
        return resolve(self.profile, self.settings)


class TrainingSection(_Section):
    """`[training]`"""

    domain_a: Name = "ordinary"
    """The domain that is translated."""
    domain_b: Name = "shallow"
    """The domain that it is translated to."""
    automatic: list[str] = []
    """Recipes that every new snapshot trains by itself; empty, so that editing a CSV never spends GPU hours."""
    stop_failing: bool = False
    """Whether a run ends as soon as its checks say, after its first tenth, that it blurs nothing or everything. By default
    it goes on, since some runs recover, and says so."""
    trainer: Literal["process", "slurm"] = "process"
    """Where a run trains: `process` of this machine, or a job of `slurm`, which goes on in another when it comes to its time
    limit; the home must be on a disk that Slurm's machines see under the same path."""
    slurm_options: list[Annotated[str, AfterValidator(_slurm_option)]] = []
    """Options of `sbatch`, such as `"--partition=gpu"`, `"--gres=gpu:1"`, `"--time=12:00:00"`."""
    slurm_no_news_minutes: float = Field(default=30.0, gt=0, allow_inf_nan=True)
    """A job at work of which nothing is heard for so long is cancelled, and the run fails; what it saved is kept."""


TAKEN_METHODS = {
    "input", "average_5x5", "gaussian_9x9", "gaussian_matched", "disc_matched", "true_lens", "segmenter", "domain_b", "mask",
    "model",
}  # fmt: skip
"""Names that stand for something else in scores and pictures."""


def _method_name(value: str) -> str:
    if value in TAKEN_METHODS:
        raise ValueError(f"{value!r} has another meaning in scores; take another name")
    return value


class OutsideMethod(_Section):
    """`[[evaluation.methods]]`: pictures that no model here made, judged beside our models."""

    name: Annotated[Name, AfterValidator(_method_name)]
    """Stands in tables and pictures."""
    folder: FilePath | None = None
    """A folder of pictures, each called by its photo's id or file name; relative to the project file."""
    command: str | None = None
    """A program that reads the PNG `{input}` and writes the picture `{output}`, like `bokeh {input} {output}`; no shell."""
    onnx: FilePath | None = None
    """An ONNX file with one input and one output, RGB pictures of one size; relative to the project file."""
    callable: FilePath | None = None
    """A Python function `package.module:function`, or `file.py:function` beside the project file, from a picture, uint8
    [height, width, 3], to another of the same shape."""
    values: Literal["unit", "signed", "levels"] = "unit"
    """What numbers the ONNX file takes and gives: 0 to 1, -1 to 1, or 0 to 255."""
    time_limit_s: int = Field(default=60, ge=1, le=3600)
    """How long the command may take for one picture."""

    @model_validator(mode="after")
    def _one_origin(self) -> "OutsideMethod":
        given = [name for name in METHOD_KINDS if getattr(self, name) is not None]
        if len(given) != 1:
            has = " and ".join(given) or "none"
            raise ValueError(f"a method has exactly one of {', '.join(METHOD_KINDS)}; this has {has}")
        if self.command is not None and not {"{input}", "{output}"} <= set(_words_of(self.command)):
            raise ValueError("the command must name {input} and {output}, each as a word of its own")
        if self.callable is not None and not re.fullmatch(r"[^:]+:[A-Za-z_]\w*", self.callable):
            raise ValueError(f"{self.callable!r} names no function; write package.module:function")
        return self

    @property
    def kind(self) -> str:
        """Where its pictures come from: the key that says so."""
        return next(name for name in METHOD_KINDS if getattr(self, name) is not None)


METHOD_KINDS = ("folder", "command", "onnx", "callable")


def _words_of(command: str) -> list[str]:
    try:
        return shlex.split(command)
    except ValueError as error:
        raise ValueError(f"the command cannot be read: {error}") from None


class EvaluationSection(_Section):
    """`[evaluation]`"""

    perceptual: bool = True
    """Whether pictures are also compared by a network (LPIPS, kernel distance); needs 64 MB of weights once."""
    parser: Literal["deeplabv3_mobilenet", "deeplabv3_resnet101", "lraspp_mobilenet", "u2netp", "parts_judge"] | None = None
    """Who tells, for content, whether an output shows what its input showed; without it, nobody. It must be another than
    the `semantic_network` that a recipe trains against: a model that is judged by its own teacher is always right."""
    truth: FilePath | None = None
    """A folder of rendered scenes with known truth; relative to the project file."""
    reference: str | None = None
    """A model `RECIPE@SEED`, such as `cyclegan@0`: models of the same snapshot that are significantly worse are marked."""
    methods: list[OutsideMethod] = []
    """Pictures of others to be judged beside our models. One table `[[evaluation.methods]]` for each."""

    @field_validator("methods")
    @classmethod
    def _told_apart(cls, methods: list[OutsideMethod]) -> list[OutsideMethod]:
        names = [method.name for method in methods]
        if twice := sorted({name for name in names if names.count(name) > 1}):
            raise ValueError(f"two methods are called {', '.join(twice)}")
        return methods


Where = tuple[int | str, ...]
"""The path of a key in the project file."""


def _unknown(named: Iterable[tuple[Where, str | None]], known: Iterable[str], what: str) -> Iterator[tuple[Where, str]]:
    for where, name in named:
        if name is not None and name not in (there := sorted(known)):
            alike = "".join(f"; did you mean {one!r}?" for one in get_close_matches(name, there, 1))
            yield where, f"names the {what} {name!r}, which is not among {there}{alike}"


def _not_understood(source: str, query: Query) -> Iterator[tuple[Where, str]]:
    """What of the query its source does not know, and where in it."""
    if source == "flickr":
        if query.categories:
            yield ("categories",), 'Flickr has no categories: use tags, or source = "commons" for the whole domain'
        for number, license in enumerate(query.licenses):
            if license not in LICENSES:
                yield ("licenses", number), _no_license(license)
        return
    if query.tags:
        yield ("tags",), "Wikimedia Commons has no tags: use categories or text"
    if query.camera and not re.fullmatch(r"Q[1-9][0-9]*", query.camera):
        yield (
            ("camera",),
            (
                f"{query.camera!r} is no item of Wikidata, which is how Wikimedia Commons names cameras, like Q23892; "
                'or use categories, like ["Taken with Apple iPhone 7"]'
            ),
        )


def _located(problems: Iterable[tuple[Where, str]]) -> ValidationError:
    """An error with the place of each problem; what a validator of the whole raises otherwise is at no place."""
    details = [
        InitErrorDetails(type=PydanticCustomError("inconsistent", "{message}", {"message": message}), loc=where, input={})
        for where, message in problems
    ]
    return ValidationError.from_exception_data("Project", details)


class Project(_Section):
    """All of `bokehflow.toml`."""

    project: ProjectSection = ProjectSection()
    flickr: FlickrSection = FlickrSection()
    commons: CommonsSection = CommonsSection()
    lists: ListsSection = ListsSection()
    collect: CollectSection = CollectSection.model_validate({})
    domains: dict[Name, Domain] = Field(min_length=1)
    photos: PhotosSection = PhotosSection()
    compute: ComputeSection = ComputeSection()
    dedupe: DedupeSection = DedupeSection()
    curation: CurationSection = CurationSection()
    masks: MasksSection = MasksSection()
    depth: DepthSection = DepthSection()
    dataset: DatasetSection = DatasetSection()
    training: TrainingSection = TrainingSection()
    evaluation: EvaluationSection = EvaluationSection()
    recipes: dict[Name, Recipe] = {}

    @model_validator(mode="after")
    def _masks_where_needed(self) -> "Project":
        if self.masks.segmenter == "none" and self.dataset.crop == "subject":
            problem = "follows the masks, and [masks] segmenter is 'none'; take centre or tiles"
            raise _located([(("dataset", "crop"), problem)])
        return self

    @model_validator(mode="after")
    def _depth_where_needed(self) -> "Project":
        if self.masks.asks_depth and self.depth.estimator == "none":
            problem = "'nearest' goes by depth, and [depth] estimator is 'none'; name one there, or take drop or keep"
            raise _located([(("masks", "others"), problem)])
        return self

    @model_validator(mode="after")
    def _consistent(self) -> "Project":
        found = [*self._unusable_endpoints(), *self._unknown_names(), *self._queries_without_months()]
        if found := [*found, *self._queries_not_understood()]:
            raise _located(found)
        if self.training.domain_a == self.training.domain_b and (found := [*self._translations_of_one_domain()]):
            raise _located(found)
        return self

    def _unusable_endpoints(self) -> Iterator[tuple[Where, str]]:
        """In words that do not repeat them: there may be a password in one, and others may read the project file."""
        for name in ("flickr", "commons"):
            section = getattr(self, name)
            if not is_web(section.endpoint):
                yield (name, "endpoint"), f"is no http(s) address, like {type(section).model_fields['endpoint'].default}"
            elif "@" in urlsplit(section.endpoint).netloc:
                yield (name, "endpoint"), "holds a name or password; leave them out"

    def _translations_of_one_domain(self) -> Iterator[tuple[Where, str]]:
        for name, recipe in self.recipes.items():
            if recipe.model not in MODELS_OF_ONE_DOMAIN:
                told = f"{recipe.model!r} would translate {self.training.domain_a!r} to itself"
                models = ", ".join(sorted(MODELS_OF_ONE_DOMAIN))
                yield ("recipes", name, "model"), f"{told}: name another domain_b under [training], or take one of {models}"

    def _unknown_names(self) -> Iterator[tuple[Where, str]]:
        """Where something is named that the file does not have. Of names by default only those of [training] count."""
        curation, training = self.curation, self.training
        domains: list[tuple[Where, str | None]] = [
            (("training", "domain_a"), training.domain_a),
            (("training", "domain_b"), training.domain_b),
            (("dedupe", "prefer_domain"), self.dedupe.prefer_domain),
            *((("curation", "rules", number, "domain"), rule.domain) for number, rule in enumerate(curation.rules)),
        ]
        for key in ("shallow_domains", "deep_domains"):
            if key in curation.model_fields_set:
                domains += [(("curation", key, number), name) for number, name in enumerate(getattr(curation, key))]
        if "test_share" in self.dataset.model_fields_set:
            domains += [(("dataset", "test_share", name), name) for name in self.dataset.test_share]
        yield from _unknown(domains, self.domains, "domain")
        automatic = [(("training", "automatic", number), name) for number, name in enumerate(training.automatic)]
        yield from _unknown(automatic, self.recipes, "recipe")
        yield from _unknown([(("evaluation", "reference"), self.evaluation.reference)], self.recipe_keys(), "model")

    def _queries_without_months(self) -> Iterator[tuple[Where, str]]:
        first, last = self.collect.from_month, self.collect.to_month
        for name, domain in self.domains.items():
            for number, query in enumerate(domain.queries):
                if (query.to_month or first) < first or (last and (query.from_month or last) > last):
                    message = f"the query covers none of the months of [collect], {first} to {last or 'now'}"
                    yield ("domains", name, "queries", number), message

    def _queries_not_understood(self) -> Iterator[tuple[Where, str]]:
        for name, domain in self.domains.items():
            for number, query in enumerate(domain.queries):
                for where, problem in _not_understood(domain.source, query):
                    yield ("domains", name, "queries", number, *where), problem

    def image_hosts(self) -> list[str]:
        """The hosts that pictures may come from: those of the sources that are asked, Flickr's without any."""
        asked = {domain.source for domain in self.domains.values() if domain.queries} or {"flickr"}
        hosts = {"flickr": self.flickr.image_hosts, "commons": self.commons.image_hosts}
        return [host for source, own in hosts.items() if source in asked for host in own]

    def needed_weights(self) -> list[str]:
        """Names of all weights that a run may need.

        The segmenter's (where masks are given the embedded one's, which stands in on rendered scenes), the face
        detector's, OpenNSFW's, and those that evaluation and the recipes' losses look at pictures through.
        """
        recipes = (recipe for recipe in self.recipes.values() if recipe.model in MODELS_WITH_MASK_LOSS)
        settings = (recipe.resolved() for recipe in recipes)
        networks = {str(one.perceptual_network) for one in settings if one.perceptual_scale != "none"}
        networks |= {"vgg16"} if self.evaluation.perceptual else set()
        networks |= {one for one in (*self._parsers_trained_against().values(), self.evaluation.parser) if one}
        rating = ["opennsfw"] if self.curation.inappropriate_model else []
        faces = ["yunet"] if self.masks.segmenter != "none" else []
        return list(dict.fromkeys([*self.masks.needed_weights(), *faces, *rating, *sorted(networks)]))

    def _parsers_trained_against(self) -> dict[str, str]:
        """By recipe, who tells `semantic` models what a picture shows."""
        found = {name: recipe.resolved().parser_for(recipe.model) for name, recipe in self.recipes.items()}
        return {name: parser for name, parser in found.items() if parser is not None}

    def recipe_keys(self) -> list[str]:
        """The partition keys `recipe@seed` of all recipes."""
        return [f"{name}@{seed}" for name, recipe in self.recipes.items() for seed in recipe.seeds]


def load_project(path: Path) -> Project:
    """Read and check the project file.

    Raises `ConfigError` with one line for each thing that is wrong: file, line, key and what is allowed.
    """
    try:
        text = read_plain_text(path)
    except FileNotFoundError:
        how = "`bokehflow init FOLDER` writes one, --config FILE names another"
        raise ConfigError(f"{path}: there is no such project file; {how}") from None
    except (OSError, UnicodeDecodeError) as error:
        raise ConfigError(f"{path}: cannot be read: {error}") from error
    return parse_project(text, path)


def parse_project(text: str, path: Path) -> Project:
    """`load_project` on text already read; `path` is for the messages."""
    try:
        data = parse_toml(text)
    except ValueError as error:
        raise ConfigError(f"{path}: not valid TOML: {error}") from None
    try:
        project = Project.model_validate(data)
    except ValidationError as error:
        raise ConfigError(explained(error, text, path, "the file", _allowed_keys)) from None
    _check_recipes(project, text, path)
    return _from_its_folder(_with_its_domains(project), path)


def _with_its_domains(project: Project) -> Project:
    """The project with what names domains by default naming its own; where both are one, it is that of `domain_a`."""
    domain_a, domain_b, curation = project.training.domain_a, project.training.domain_b, project.curation
    shallow = curation.shallow_domains if "shallow_domains" in curation.model_fields_set else None
    deep = curation.deep_domains if "deep_domains" in curation.model_fields_set else None
    if "people" not in curation.model_fields_set:
        curation = curation.model_copy(update={"people": project.masks.segmenter != "none"})
    names: dict[str, object] = {
        "shallow_domains": [name for name in [domain_b] if name not in (domain_a, *(deep or []))]
        if shallow is None
        else shallow,
        "deep_domains": [name for name in [domain_a] if name not in (shallow or [])] if deep is None else deep,
    }
    updated: dict[str, _Section] = {"curation": curation.model_copy(update=names)}
    if "test_share" not in project.dataset.model_fields_set:
        updated["dataset"] = project.dataset.model_copy(update={"test_share": {domain_b: 0.0, domain_a: 0.05}})
    return project.model_copy(update=updated)


def _from_its_folder(project: Project, path: Path) -> Project:
    """The project with the folder of given masks, lists, and what methods name, as seen from here, not from its file."""
    updated: dict[str, _Section] = {}
    if project.masks.folder is not None:
        folder = str(path.parent / expanded(project.masks.folder))
        updated["masks"] = project.masks.model_copy(update={"folder": folder})
    if any(domain.lists for domain in project.domains.values()):
        updated_domains = {
            name: domain.model_copy(update={"lists": [str(_beside(path.parent, one)) for one in domain.lists]})
            for name, domain in project.domains.items()
        }
        project = project.model_copy(update={"domains": updated_domains})
    if project.depth.folder is not None:
        folder = str(path.parent / expanded(project.depth.folder))
        updated["depth"] = project.depth.model_copy(update={"folder": folder})
    if project.depth.network is not None:
        network = str(path.parent / expanded(project.depth.network))
        updated["depth"] = project.depth.model_copy(update={"network": network})
    if project.evaluation.methods:
        methods = [_method_from_its_folder(method, path.parent.resolve()) for method in project.evaluation.methods]
        updated["evaluation"] = project.evaluation.model_copy(update={"methods": methods})
    return project.model_copy(update=updated) if updated else project


def _method_from_its_folder(method: OutsideMethod, folder: Path) -> OutsideMethod:
    """The method with every file that it names as seen from here; words that name none stay."""
    if method.command is not None:
        words = _words_of(method.command)
        return method.model_copy(update={"command": shlex.join(_word_beside(folder, word) for word in words)})
    if method.callable is not None:
        module, _, function = method.callable.rpartition(":")
        file = _beside(folder, module if module.endswith(".py") else f"{module.replace('.', '/')}.py")
        return method.model_copy(update={"callable": f"{file}:{function}"}) if is_plain_file(file) else method
    return method.model_copy(update={method.kind: str(_beside(folder, getattr(method, method.kind)))})


def _word_beside(folder: Path, word: str) -> str:
    """A word of a command: the path of the file that it names, if there is one."""
    try:
        path = _beside(folder, word)
    except UnsafeName:
        return word
    return str(path) if is_plain_file(path) else word


def _beside(folder: Path, text: str) -> Path:
    """What a person names in their own project file, which may lie anywhere."""
    return folder / expanded(text)


TAUGHT_BY = {
    "depth": ("depth_weight", "depth_gradient_weight"),
    "refocus": ("depth_weight", "depth_gradient_weight", "picture_weight"),
}
"""Weights of which one must be more than 0, of models whose settings alone do not tell them apart."""


def _check_recipes(project: Project, text: str, path: Path) -> None:
    """Raises `ConfigError` that names every wrong recipe, each problem with the line of its own key."""
    found: list[tuple[tuple[str, ...], str]] = []
    for name, recipe in project.recipes.items():
        try:
            _check_recipe(project, recipe)
        except SettingsError as error:
            found += [
                (("recipes", name, "settings", *key.split(".")) if key else ("recipes", name), problem)
                for key, problem in error.problems
            ]
        except ConfigError as error:
            found.append((("recipes", name, *(() if recipe.profile in PROFILES else ("profile",))), str(error)))
    if found:
        lines = key_lines(text)
        raise ConfigError("\n".join(f"{path}:{line_of(key, lines)}: {'.'.join(key)}: {problem}" for key, problem in found))


def _check_recipe(project: Project, recipe: Recipe) -> None:
    """Raises `ConfigError` where its settings do not fit together, or not to how the project judges and masks."""
    settings = recipe.resolved()
    teacher = settings.parser_for(recipe.model)
    if teacher is not None and teacher == project.evaluation.parser:
        raise ConfigError(
            f"trains against {teacher!r}, by which [evaluation] parser judges: a model cannot be judged by its own "
            "teacher; name another parser, or another semantic_network"
        )
    if recipe.model in TAUGHT_BY and not any(getattr(settings, name) for name in TAUGHT_BY[recipe.model]):
        raise ConfigError(f"{', '.join(TAUGHT_BY[recipe.model])} are all 0: nothing would be learnt")
    if project.masks.segmenter != "none":
        return
    if recipe.model in MODELS_THAT_NEED_MASKS:
        others = "depth or refocus" if recipe.model in MODELS_OF_ONE_DOMAIN else "cyclegan or semantic"
        raise ConfigError(f"model {recipe.model!r} needs masks, and [masks] segmenter is 'none'; take {others}")
    if settings.lens_holds_subject or settings.discriminator_sight == "bands":
        raise ConfigError(
            "lens_holds_subject and discriminator_sight 'bands' need masks, and [masks] segmenter is 'none'; take the "
            "profile 'collections'"
        )


def _allowed_keys(where: Where) -> list[str]:
    """The keys of the section at `where`, by walking the models' annotations."""
    by_depth: dict[tuple[str, ...], type[BaseModel]] = {("domains", "*"): Domain, ("recipes", "*"): Recipe, (): Project}
    by_depth[("domains", "*", "queries", "*")] = Query
    by_depth[("curation", "rules", "*")] = CurationRule
    by_depth[("evaluation", "methods", "*")] = OutsideMethod
    for name, field in Project.model_fields.items():
        if isinstance(field.annotation, type) and issubclass(field.annotation, BaseModel):
            by_depth[(name,)] = field.annotation
    pattern = tuple(
        "*" if isinstance(part, int) or (index == 1 and where[0] not in ("curation", "evaluation")) else str(part)
        for index, part in enumerate(where)
    )
    model = by_depth.get(pattern)
    return [field.alias or name for name, field in model.model_fields.items()] if model else []
