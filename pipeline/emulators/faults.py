"""How the emulator misbehaves: a fault plan, as a TOML file.

    seed = 7
    refused_keys = ["refused"]       # answered with error 100

    [api]                            # shares of all REST calls
    http_429 = 0.05                  # an HTML body and no Retry-After
    http_5xx = 0.02
    error_201 = 0.01
    html = 0.01                      # an HTML page with status 200
    broken_json = 0.01
    slow = 0.02
    slow_s = 0.5
    drift = 0.5                      # searches whose total is too high and whose pages begin elsewhere,
    drift_photos = 3                 # by at most so many photos
    partial = 0.02                   # searches of Commons that time out: half of what they find, and a warning

    [images]                         # shares of all pictures asked for
    http_429 = 0.05
    http_5xx = 0.02
    cut = 0.01                       # the connection ends early
    broken = 0.01                    # bytes that do not decode
    html = 0.01
    slow = 0.02
    unavailable = 0.01               # a redirect to a "photo unavailable" picture on another host

    [images.photos]                  # and those that always fail
    4950000001 = "cut"

    [[changes]]                      # what happens to the collection meanwhile
    after_calls = 20
    photo = "4950000002"
    license = "0"                    # or title, tags, removed = true, vanished = true

Chance is drawn from the seed and a counter, so that the same calls meet the same faults: REST calls are counted
in all, pictures each by itself, which makes no difference between one thread and many.
"""

from pathlib import Path
from typing import ClassVar, Literal, Self, get_args

from pydantic import BaseModel, ConfigDict, Field, ValidationError, model_validator

from pipeline.emulators.collection import digest
from pipeline.errors import ConfigError
from pipeline.plain_files import read_plain_text
from pipeline.toml_lines import explained, parse_toml

ApiFault = Literal["http_429", "http_5xx", "error_201", "html", "broken_json", "slow"]
ImageFault = Literal["http_429", "http_5xx", "cut", "broken", "html", "slow", "unavailable"]
Share = Field(0.0, ge=0, le=1)


class _FaultSection(BaseModel):
    model_config = ConfigDict(frozen=True, extra="forbid", strict=True)


class _Faults(_FaultSection):
    """Shares of requests that meet each fault; one request meets one at most."""

    http_429: float = Share
    http_5xx: float = Share
    html: float = Share
    slow: float = Share
    slow_s: float = Field(1.0, ge=0)

    kinds: ClassVar[tuple[str, ...]] = ()

    def shares(self) -> dict[str, float]:
        """The share of each fault."""
        return {kind: getattr(self, kind) for kind in self.kinds}

    @model_validator(mode="after")
    def _at_most_all(self) -> Self:
        if sum(self.shares().values()) > 1:
            raise ValueError(f"the shares add up to {sum(self.shares().values()):g}, more than all requests")
        return self


class ApiFaults(_Faults):
    """`[api]`"""

    kinds: ClassVar[tuple[str, ...]] = get_args(ApiFault)
    error_201: float = Share
    broken_json: float = Share
    drift: float = Share
    drift_photos: int = Field(3, ge=1)
    partial: float = Share


class ImageFaults(_Faults):
    """`[images]`"""

    kinds: ClassVar[tuple[str, ...]] = get_args(ImageFault)
    cut: float = Share
    broken: float = Share
    unavailable: float = Share
    photos: dict[str, ImageFault] = {}


class ScheduledChange(_FaultSection):
    """`[[changes]]`: fields of a photo that change once `after_calls` REST calls were made."""

    after_calls: int = Field(ge=0)
    photo: str
    license: str | None = None
    title: str | None = None
    tags: list[str] | None = None
    removed: bool | None = None
    vanished: bool | None = None

    def fields(self) -> dict[str, object]:
        """What changes, in the names and types of `CollectionPhoto`."""
        changed = self.model_dump(exclude={"after_calls", "photo"}, exclude_none=True)
        return {name: tuple(value) if name == "tags" else value for name, value in changed.items()}


class FaultPlan(_FaultSection):
    """A whole plan; the empty one is an emulator that behaves."""

    seed: int = 0
    refused_keys: list[str] = ["refused"]
    api: ApiFaults = ApiFaults.model_validate({})
    images: ImageFaults = ImageFaults.model_validate({})
    changes: list[ScheduledChange] = []

    def api_fault(self, call: int) -> ApiFault | None:
        """What the `call`-th REST call meets."""
        return _pick(self.api.shares(), _chance(self.seed, "api", call))  # pyright: ignore[reportReturnType]

    def image_fault(self, photo: str, name: str, request: int) -> ImageFault | None:
        """What the `request`-th request for the picture file `name` of `photo` meets."""
        drawn = _pick(self.images.shares(), _chance(self.seed, "image", name, request))
        return self.images.photos.get(photo) or drawn  # pyright: ignore[reportReturnType]

    def drift(self, call: int) -> tuple[int, int]:
        """By how much the search in the `call`-th REST call is off: its total, and the first entry of its page.

        The total is never too low: fewer photos and a count of just these is what nobody could tell from truth.
        """
        if _chance(self.seed, "drift", call) >= self.api.drift:
            return 0, 0
        by = 1 + int(_chance(self.seed, "photos", call) * self.api.drift_photos)
        return by, by if _chance(self.seed, "sign", call) < 0.5 else -by

    def is_partial(self, call: int) -> bool:
        """Whether the search in the `call`-th call of Commons times out."""
        return _chance(self.seed, "partial", call) < self.api.partial


def load_faults(path: Path) -> FaultPlan:
    """Read and check a fault plan. Raises `ConfigError` with file, line and key of each thing that is wrong."""
    try:
        text = read_plain_text(path)
        data = parse_toml(text)
    except (OSError, UnicodeDecodeError) as error:
        raise ConfigError(f"{path}: cannot be read: {error}") from error
    except ValueError as error:
        raise ConfigError(f"{path}: not valid TOML: {error}") from None
    try:
        return FaultPlan.model_validate(data)
    except ValidationError as error:
        raise ConfigError(explained(error, text, path, "the plan")) from None


def _chance(*parts: object) -> float:
    return int(digest(*parts)[:13], 16) / 16**13


def _pick(shares: dict[str, float], chance: float) -> str | None:
    for name, share in shares.items():
        chance -= share
        if chance < 0:
            return name
    return None
