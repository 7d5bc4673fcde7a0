"""What a training run can be told: the settings, the profiles that name sets of them, and their digest.

Free of torch, since configuration and asset definitions import it. A recipe of the project file names a
model and a profile and may override single settings; `resolve` makes the full set of it.
"""

import hashlib
import json
import math
from collections.abc import Mapping, Sequence
from difflib import get_close_matches
from typing import Annotated, Any, Literal

from pydantic import BaseModel, ConfigDict, Field, ValidationError, field_validator, model_validator
from pydantic_core import ErrorDetails

from pipeline.errors import ConfigError

SIZE_MULTIPLE_PX = 4
PIX2PIX_MULTIPLE_PX = 16
"""It halves its pictures four times at least."""

Weight = Annotated[float, Field(ge=0)]
Count = Annotated[int, Field(ge=1)]


def within_int64(value: object) -> object:
    """The value of a key; ValueError for an integer of more than 64 bits, which no table and no network takes."""
    if isinstance(value, int) and not -(2**63) <= value < 2**63:
        raise ValueError(f"is beyond what there is room for, {2**63 - 1} above or below zero")
    return value


LATER_SWITCHES = frozenset({
    "discriminator_sight", "lens_bounded", "lens_highlights", "lens_single_disc", "lens_keeps_grain", "lens_opens_points",
    "lens_holds_subject", "lens_finds_subject", "lens_calibrated", "plan_scale", "semantic_weight", "semantic_network",
    "depth_loss", "depth_weight", "depth_gradient_weight", "picture_weight", "l1_weight", "dropout", "encoders", "focus_map",
    "focus_weights",
})  # fmt: skip
"""Settings that earlier versions did not know; the default of each is what these did."""


LENS_SWITCHES = (
    "lens_bounded", "lens_single_disc", "lens_keeps_grain", "lens_opens_points", "lens_holds_subject", "lens_finds_subject",
    "lens_calibrated",
)  # fmt: skip
"""Those that only a lens can have."""

SemanticNetwork = Literal["deeplabv3_mobilenet", "deeplabv3_resnet101", "lraspp_mobilenet", "u2netp", "parts"]


class TrainingSettings(BaseModel):
    """Every switch of a run; the defaults are the study's. Unknown keys and wrong types are refused."""

    # Settings go to the trainer as JSON, which has no infinity.
    model_config = ConfigDict(frozen=True, extra="forbid", strict=True, allow_inf_nan=False)

    @field_validator("*", mode="before")
    @classmethod
    def _can_be_handed_on(cls, value: object) -> object:
        return within_int64(value)

    # What is seen
    size_px: Annotated[int, Field(ge=16, multiple_of=SIZE_MULTIPLE_PX)] = 256
    """Side of the squares the networks see. Larger stored pictures are scaled down once, with Lanczos."""
    crop_margin: Annotated[float, Field(ge=0, le=1)] = 0.0
    """Pictures are held this share larger than `size_px` and a random window is cut in every step; 0 for none.
    The study did not augment, because its masks were computed beforehand; here masks are cropped alike."""
    flip: bool = False
    """Whether each picture is mirrored with probability one half."""
    batch_size: Count = 1
    """Pictures of each domain in a step."""

    # How long, and how fast
    epochs: Count | None = 75
    """Length in epochs; an epoch shows as many pictures as the larger domain has. Either this or `steps`."""
    steps: Count | None = None
    """Length in steps, whatever the number of pictures. Either this or `epochs`."""
    decay_share: Annotated[float, Field(ge=0, le=1)] = 25 / 75
    """The last share of the run, over which the rate falls linearly towards zero: epoch by epoch in a run of
    `epochs`, step by step in a run of `steps`."""
    last_rate: Literal["paper", "code"] = "paper"
    """Where the rate ends: just above 0 in the last epoch, as the study's paper says, or at 0, as in its code, whose
    last epoch therefore learns nothing."""
    learning_rate: Annotated[float, Field(gt=0, le=1)] = 2e-4
    """Adam's rate, for generators and discriminators."""
    adam_beta1: Annotated[float, Field(ge=0, lt=1)] = 0.5
    """Adam's first momentum; 0.5 is customary against the oscillation of adversarial training."""
    adam_beta2: Annotated[float, Field(ge=0, lt=1)] = 0.999
    """Adam's second momentum."""
    weight_average: Annotated[float, Field(ge=0, lt=1)] = 0.0
    """Decay of the running average of the generators' weights, which is then what is saved, 0 for none. It
    smooths the swings of adversarial training; .99 looks back about a hundred steps."""

    keep_every_steps: Annotated[int, Field(ge=0)] = 0
    """Generators are kept every so many steps, beside the last ones; 0 for none. Each pair of the study's takes 90 MB."""
    precision: Literal["float32", "bfloat16"] = "float32"
    """Of convolutions; parameters, losses and optimisers stay in float32. bfloat16 is about twice as fast where the
    hardware has it and keeps the losses within some per cent."""
    cpu_threads: Annotated[int, Field(ge=0, le=4096)] = 0
    """Threads on the processor, 0 for as many as torch chooses. Small networks gain little by a second thread, and
    where other programs share the processor they lose much, since threads wait for each other in every layer: two
    `smoke` runs at once on two cores took 12 times as long with two threads each as with one. A fixed number also
    gives the same weights whatever the number of cores."""

    # What is asked for
    gan_weight: Weight = 1.0
    """Weight of the adversarial term, each direction."""
    cycle_weight: Weight = 10.0
    """Weight of the cycle term, each direction. With small networks and few steps it acts like a threshold:
    at 10 the generator stays at the identity, at 2 it learns. On photographs, 300 steps: at 1 some runs blur too little, at
    .25 none did."""
    identity_weight: Weight = 5.0
    """Weight of the identity term, each direction; 0 leaves its two passes out."""
    mask_weight: Weight | None = None
    """The study's lambda_mask, for the models with mask loss: their term on pixels weighs cycle_weight · mask_weight.
    Without it the model's own: 1 for `mask_loss` and `one_sided`, 1/2 for `mask_loss_overlay`."""
    mask_area: Literal["image", "person"] = "image"
    """Whether the mask loss is a mean over the whole picture, as in the study, or over the person's own area, so that
    a small person counts as much as a large one."""
    mask_edge: Literal["hard", "soft"] = "hard"
    """Masks of 0 and 1, as in the study, or the stored soft alpha, in mask loss and overlay."""
    perceptual_scale: Literal["paper", "code", "none"] = "paper"
    """Weight of the mask loss on VGG's features: cycle_weight · mask_weight as the study's paper says, 2 · mask_weight
    as its code does, or none (saves a third of a step's time)."""
    perceptual_network: Literal["vgg19", "vgg16"] = "vgg19"
    """Whose features at relu3_2: VGG-19 as in the study, fetched by torchvision from the internet, or VGG-16, which
    comes out of a package."""
    semantic_weight: Weight = 10.0
    """Weight of the loss between what is seen in input and output, each direction, for the model `semantic`; 0 makes that
    a CycleGAN."""
    semantic_network: SemanticNetwork = "deeplabv3_mobilenet"
    """Who sees that, for `semantic`: torchvision's networks for 21 classes, fetched from the internet; `u2netp`, what
    stands out of a picture, which comes out of a package; or `parts`, learnt here from rendered portraits, which knows
    those alone."""
    depth_loss: Literal["log", "affine"] = "log"
    """For `depth` and `refocus`: whether predicted depth shall be right in metres, by its logarithm, or only up to scale and
    shift of disparity, for truth that has no metres."""
    depth_weight: Weight = 1.0
    """Weight of that term."""
    depth_gradient_weight: Weight = 1.0
    """Weight of the term on where depth changes."""
    picture_weight: Weight = 10.0
    """For `refocus`: weight of the difference that the predicted depth makes in refocused pictures."""
    l1_weight: Weight = 100.0
    """For `pix2pix` and `defocus`: weight of L1 between the picture that is made and the true one, both from -1 to 1; 0 is
    the conditional GAN alone, and `gan_weight = 0` L1 alone."""
    focus_map: Literal["map", "patches"] = "map"
    """For `defocus`: how it is told what should be sharp, by an exact map or by squares of three levels."""
    focus_weights: Literal["uniform", "grey", "in_focus"] = "uniform"
    """For `defocus`: how pixels count in L1: all alike; 2000 in focus and elsewhere the grey of depth, 0 to 1; or 11 in
    focus and else 1. They are divided by their mean."""
    r1_weight: Weight = 0.0
    """Gamma of R1, the squared gradient at real pictures, that tames a discriminator without norm; 0 for none."""
    r1_every_steps: Count = 8
    """R1 is computed on one step of so many, weighing so many times as much."""
    pool_size: Annotated[int, Field(ge=0)] = 50
    """Earlier translations that the discriminators are shown again with probability one half; 0 for none."""

    # The networks
    generator_channels: Count = 64
    """Channels of the generators at full resolution."""
    generator_blocks: Count = 9
    """Residual blocks of the generators."""
    dropout: Annotated[float, Field(ge=0, lt=1)] = 0.5
    """For `pix2pix` and `defocus`: the share of the first three layers on the way back that is left out by chance, in
    training."""
    encoders: Literal[1, 2] = 1
    """For `defocus`: one for picture and map together, or one for each, with one decoder."""
    upsampling: Literal["transposed", "nearest"] = "transposed"
    """Transposed convolutions as in the study, or nearest-neighbour and convolution against checkerboards."""
    output: Literal["tanh", "residual", "lens", "disparity", "disparity_picture", "refocused"] = "tanh"
    """What the generators' last layer is taken for: the picture, what to add to the input, or, from A to B, the settings
    of a lens that the input is seen through (the way back is "residual" then). "disparity" is for the models of depth,
    "disparity_picture" for `pix2pix`, "refocused" for `defocus`."""
    lens_bounded: bool = False
    """Whether the logits that set a lens are bounded, so that no pixel is lost to one disc, or to sharpness, for good."""
    lens_highlights: bool = True
    """Whether the lens may take clipped light for brighter than white, so that a point of light becomes a bright disc. A
    discriminator that sees "bands" cannot teach it how much: skies turn white by chance."""
    lens_single_disc: bool = False
    """Whether a trained lens sends a pixel's light to a disc of one size, as a real one does, where its plan divides it
    among sharp and large discs, which looks like a sharp picture in a haze. In training it is divided."""
    lens_keeps_grain: bool = False
    """Whether what a trained lens spreads keeps the photo's grain: of its finest detail no more than 2/255, either way. A
    sensor adds it behind the lens, so that soft photographs have it. In training it is left out."""
    lens_opens_points: bool = False
    """Whether a trained lens takes clipped light with dark around it for up to three times as bright, so that lamps open
    into discs and skies stay as they are. In training it is left out: see `lens_highlights`."""
    lens_holds_subject: bool = False
    """Whether the subject's light stays where it is. Its alpha is then needed wherever the model is applied."""
    lens_finds_subject: bool = False
    """Whether the model learns from its training masks to find that alpha itself, so that only the photo is needed where it
    is applied; needs `lens_holds_subject`. What it finds can be no better than those masks."""
    lens_calibrated: bool = False
    """Whether the discs of a trained lens are made larger or smaller, all by one factor, until the backgrounds of training
    pictures come as near to those of B as they can: a discriminator says where to blur better than by how much."""
    plan_scale: Literal[1, 2] = 1
    """How many times smaller than the picture the network of a lens sees it; the lens keeps the picture's own size."""
    skip_channels: Annotated[int, Field(ge=0)] = 0
    """Channels of a full-resolution path around the generators' body, 0 for none."""
    discriminator_channels: Count = 64
    """Channels after the discriminators' first convolution."""
    discriminator_layers: Annotated[int, Field(ge=1, le=5)] = 3
    """Stride-2 convolutions of the discriminators: 3 see 70x70 pixels, 2 see 34x34, 1 sees 16x16."""
    discriminator_norm: Literal["instance", "none"] = "instance"
    """Instance norm hides contrast from the discriminators, and contrast tells sharp from blurred."""
    discriminator_sight: Literal["picture", "bands"] = "picture"
    """What the discriminators see: the picture, or nothing but how sharp the background is relative to its contrast, at
    three scales, by which two collections of any origin can be compared."""
    discriminator_laplacian: bool = False
    """Whether the discriminators are given the absolute Laplacian too."""
    initialisation: Literal["normal", "kaiming"] = "normal"
    """N(0, 0.02) everywhere, or Kaiming where no norm follows."""

    @model_validator(mode="after")
    def _one_length(self) -> "TrainingSettings":
        if (self.epochs is None) == (self.steps is None):
            raise ValueError("give either epochs or steps")
        return self

    @model_validator(mode="after")
    def _size_fits_discriminator(self) -> "TrainingSettings":
        shown_px = self.size_px // 2 if self.discriminator_sight == "bands" else self.size_px
        if shown_px // 2**self.discriminator_layers < 3:
            seen = ", since discriminator_sight 'bands' halves the picture" if shown_px < self.size_px else ""
            layers = f"{self.discriminator_layers} discriminator_layers"
            raise ValueError(f"size_px {self.size_px} is too small for {layers}{seen}")
        return self

    @model_validator(mode="after")
    def _sight_fits(self) -> "TrainingSettings":
        if self.discriminator_sight == "bands" and self.pool_size > 0:
            raise ValueError("discriminator_sight 'bands' compares pictures of one step: pool_size must be 0")
        if self.discriminator_sight == "bands" and self.discriminator_laplacian:
            raise ValueError("discriminator_sight 'bands' holds the Laplacian already: leave discriminator_laplacian out")
        return self

    @model_validator(mode="after")
    def _lens_is_there(self) -> "TrainingSettings":
        told = [name for name in LENS_SWITCHES if getattr(self, name)]
        told += ["plan_scale"] if self.plan_scale > 1 else []
        if told and self.output != "lens":
            raise ValueError(f"{told[0]} is for output 'lens'")
        if self.lens_finds_subject and not self.lens_holds_subject:
            raise ValueError("lens_finds_subject is of use only with lens_holds_subject")
        if self.plan_scale > 1 and self.size_px % (SIZE_MULTIPLE_PX * self.plan_scale):
            raise ValueError(
                f"with plan_scale {self.plan_scale} size_px must be a multiple of {SIZE_MULTIPLE_PX * self.plan_scale}"
            )
        return self

    @model_validator(mode="after")
    def _pix2pix_fits(self) -> "TrainingSettings":
        if self.output not in {"disparity_picture", "refocused"}:
            return self
        if self.size_px % PIX2PIX_MULTIPLE_PX:
            raise ValueError(f"output {self.output!r}: size_px must be a multiple of {PIX2PIX_MULTIPLE_PX}")
        if self.discriminator_sight != "picture":
            raise ValueError(f"output {self.output!r} needs discriminator_sight 'picture'")
        if self.gan_weight == 0 and self.l1_weight == 0:
            raise ValueError("gan_weight and l1_weight are both 0: nothing would be learnt")
        return self

    @property
    def deciding(self) -> dict[str, Any]:
        """What decides a result, as plain values. A switch that came later does not count where it is off, so that runs
        from before it are still runs of these settings."""
        values = self.model_dump(mode="json")
        fields = type(self).model_fields
        return {name: value for name, value in values.items() if name not in LATER_SWITCHES or value != fields[name].default}

    def parser_for(self, model: str) -> str | None:
        """Who tells that model, in training, what a picture shows; None where nobody is asked."""
        return self.semantic_network if model == "semantic" and self.semantic_weight > 0 else None

    @property
    def held_size_px(self) -> int:
        """Side of the pictures that random windows are cut from."""
        return round(self.size_px * (1 + self.crop_margin))

    def steps_per_epoch(self, images_a: int, images_b: int) -> int:
        """Steps that show as many pictures as the larger domain has."""
        return math.ceil(max(images_a, images_b) / self.batch_size)

    def total_steps(self, images_a: int, images_b: int) -> int:
        """Length of the run in steps, for domains of so many pictures."""
        return self._length if self.epochs is None else self._length * self.steps_per_epoch(images_a, images_b)

    def rate_at(self, step: int, steps_per_epoch: int) -> float:
        """Learning rate of the step with this index, counted from 0."""
        index = step if self.epochs is None else step // steps_per_epoch
        decaying = round(self.decay_share * self._length)
        return self.learning_rate * decay_factor(index + (self.last_rate == "code"), self._length, decaying)

    @property
    def _length(self) -> int:
        """Epochs or steps, whichever the run is counted in."""
        return self.epochs or self.steps or 0


def decay_factor(index: int, length: int, decaying: int) -> float:
    """1, then linearly falling over the last `decaying` of `length` epochs (or steps), `index` from 0.

    It would reach 0 just after the last one, as the paper says; the study's own code was one epoch ahead.

    >>> [decay_factor(index, 4, 2) for index in range(5)]
    [1.0, 1.0, 0.6666666666666666, 0.3333333333333333, 0.0]
    """
    return min(1.0, (length - index) / (decaying + 1))


CORRECTED = TrainingSettings(
    crop_margin=0.12,
    flip=True,
    weight_average=0.999,
    cycle_weight=1.0,
    identity_weight=0.0,
    mask_weight=5.0,
    mask_area="person",
    mask_edge="soft",
    perceptual_scale="none",
    r1_weight=10.0,
    pool_size=0,
    upsampling="nearest",
    output="lens",
    lens_bounded=True,
    lens_highlights=False,
    lens_single_disc=True,
    lens_keeps_grain=True,
    lens_opens_points=True,
    lens_holds_subject=True,
    lens_calibrated=True,
    plan_scale=2,
    skip_channels=16,
    discriminator_layers=2,
    discriminator_norm="none",
    discriminator_sight="bands",
    initialisation="kaiming",
)

SMALL: dict[str, object] = {
    "size_px": 192,
    "epochs": None,
    "steps": 300,
    "decay_share": 0.4,
    "learning_rate": 1e-3,
    "weight_average": 0.995,
    "cpu_threads": 1,
    "cycle_weight": 0.25,
    "mask_weight": 20.0,
    "generator_channels": 16,
    "generator_blocks": 3,
    "discriminator_channels": 32,
}
"""What one core changes of `CORRECTED`: small pictures and networks, few steps at a higher rate. A way back that weighs more
holds the blur back for longer than such a run lasts; the mask term, cycle_weight · mask_weight, weighs what it did."""

SMOKE: dict[str, object] = {
    **SMALL,
    "size_px": 64,
    "crop_margin": 0.3,
    "steps": 600,
    "cycle_weight": 1.0,
    "identity_weight": 1.0,
    "mask_weight": 2.5,
    "r1_weight": 1.0,
    "pool_size": 50,
    "lens_bounded": False,
    "lens_highlights": True,
    "lens_single_disc": False,
    "lens_keeps_grain": False,
    "lens_opens_points": False,
    "lens_holds_subject": False,
    "lens_calibrated": False,
    "plan_scale": 1,
    "discriminator_sight": "picture",
    "discriminator_laplacian": True,
}
"""What rendered pictures of 64 px change."""

COLLECTIONS: dict[str, object] = {
    "epochs": 100,
    "decay_share": 0.5,
    "crop_margin": 0.12,
    "flip": True,
    "weight_average": 0.999,
    "perceptual_scale": "none",
    "upsampling": "nearest",
    "generator_blocks": 4,
    "discriminator_layers": 2,
}
"""What two collections of any kind change of the study's settings: networks too shallow to move things about."""

COLLECTIONS_SMALL: dict[str, object] = {
    **COLLECTIONS,
    "size_px": 64,
    "epochs": None,
    "steps": 400,
    "decay_share": 0.4,
    "learning_rate": 1e-3,
    "weight_average": 0.98,
    "cpu_threads": 1,
    "cycle_weight": 1.0,
    "identity_weight": 0.0,
    "r1_weight": 1.0,
    "output": "residual",
    "skip_channels": 8,
    "discriminator_norm": "none",
    "initialisation": "kaiming",
    "generator_channels": 12,
    "generator_blocks": 3,
    "discriminator_channels": 24,
    "semantic_network": "parts",
}
"""The same for rendered scenes and paintings of 64 px, on one core."""

DEPTH = TrainingSettings(
    size_px=96,
    flip=True,
    batch_size=4,
    epochs=None,
    steps=3600,
    decay_share=0.7,
    learning_rate=2e-3,
    adam_beta1=0.9,
    weight_average=0.99,
    cpu_threads=1,
    pool_size=0,
    output="disparity",
    generator_channels=8,
    picture_weight=1.0,
)

PIX2PIX = TrainingSettings(
    flip=True,
    epochs=200,
    decay_share=0.5,
    pool_size=0,
    output="disparity_picture",
)

PIX2PIX_SMALL: dict[str, object] = {
    "size_px": 96,
    "batch_size": 4,
    "epochs": None,
    "steps": 1200,
    "learning_rate": 1e-3,
    "weight_average": 0.99,
    "cpu_threads": 1,
    "generator_channels": 16,
    "discriminator_channels": 16,
}
"""What one core changes of `PIX2PIX`."""

PROFILES: dict[str, TrainingSettings] = {
    "study": TrainingSettings(),
    "corrected": CORRECTED,
    "small": TrainingSettings.model_validate({**CORRECTED.model_dump(), **SMALL}),
    "smoke": TrainingSettings.model_validate({**CORRECTED.model_dump(), **SMOKE}),
    "collections": TrainingSettings.model_validate(COLLECTIONS),
    "collections_small": TrainingSettings.model_validate(COLLECTIONS_SMALL),
    "depth": DEPTH,
    "pix2pix": PIX2PIX,
    "defocus": TrainingSettings.model_validate({**PIX2PIX.model_dump(), **PIX2PIX_SMALL, "output": "refocused"}),
    "pix2pix_small": TrainingSettings.model_validate({**PIX2PIX.model_dump(), **PIX2PIX_SMALL}),
}
"""Named settings.

`study` is the 2018 study's training: 75 epochs (50 at the full rate, 25 decaying) of `resnet_9blocks` at
256 px, 170,250 steps on its 2,270 and 2,061 pictures.

`corrected` is what is known to be better, at the study's size; what each of its switches does, on photographs and on
rendered scenes, and on how many runs that rests, is told in docs/learning.md.

`small` is the same for one core and two minutes, at 192 px, below which the blur of a photograph hardly shows. It was
chosen and judged on photographs: `benchmarks/photographs.py`; on rendered scenes `benchmarks/learning.py` measures it.

`smoke` learns on the demo's rendered scenes at 64 px, where a sight of the whole picture does no harm. It was chosen on 24
scenes that neither train nor score it, with as many pictures as the demo trains on (one run each): `cyclegan` brings the
background's L1 error to the true lens down by 58 % and leaves the sitter's at .0098, `mask_loss_overlay` by 55 % and .0085;
unchanged, the sitter's is .0078. On photographs it ends at the identity.

`collections` is for two collections of any kind: the study's losses with networks that see little at once, so that they
change colour and texture. `collections_small` is the same for rendered scenes and paintings of 64 px.

`pix2pix` is that model's training as published: 200 epochs at 256 px, the rate falling from the middle on, without the
windows out of larger pictures. `pix2pix_small` is for one core: 96 px, a sixteenth of the weights. `defocus` is the same
for that model.
"""


class SettingsError(ConfigError):
    """Settings of a recipe that are wrong: each key, "" where several do not fit together, with what is wrong."""

    def __init__(self, profile: str, problems: Sequence[tuple[str, str]]) -> None:
        told = "; ".join(f"{key}: {problem}" if key else problem for key, problem in problems)
        super().__init__(f"Profile {profile!r} with overrides: {told}.")
        self.problems = problems


def resolve(profile: str, overrides: Mapping[str, object]) -> TrainingSettings:
    """The settings of `profile` with `overrides`; ConfigError names the profile or the key that is wrong.

    Overriding one of `steps` and `epochs` replaces the other.
    """
    if profile not in PROFILES:
        raise ConfigError(f"There is no profile {profile!r}; the profiles are: {', '.join(sorted(PROFILES))}.")
    values = PROFILES[profile].model_dump()
    for length, other in (("steps", "epochs"), ("epochs", "steps")):
        if length in overrides and other not in overrides:
            values[other] = None
    try:
        return TrainingSettings.model_validate({**values, **overrides})
    except ValidationError as error:
        raise SettingsError(profile, [_problem(problem) for problem in error.errors()]) from error


def _problem(problem: ErrorDetails) -> tuple[str, str]:
    """The key and what is wrong with it."""
    key = ".".join(str(part) for part in problem["loc"])
    if problem["type"] == "extra_forbidden":
        alike = "".join(f"; did you mean {one!r}?" for one in get_close_matches(key, TrainingSettings.model_fields, 1))
        return key, f"unknown setting{alike}; there are: {', '.join(sorted(TrainingSettings.model_fields))}"
    return key, problem["msg"].removeprefix("Value error, ")


def digest(settings: TrainingSettings) -> str:
    """SHA-256 over the settings as canonical JSON, in hex: equal for equal settings, on every machine."""
    return canonical_digest(settings.deciding)


def canonical_digest(value: object) -> str:
    """SHA-256 in hex over `value` as JSON with sorted keys and no spaces."""
    canonical = json.dumps(value, sort_keys=True, separators=(",", ":"), ensure_ascii=False)
    return hashlib.sha256(canonical.encode()).hexdigest()
