"""One training step of the study's networks at 256 px, batch 1: ours against the plain one, on a GPU where there is one.

The plain step is what one writes first: every pass by itself, Adam and the arithmetic as PyTorch sets them (on a GPU
that is TF32 in convolutions; true float32 stands beside it), two pictures uploaded in each step. Ours is the product's
own loop on pictures in memory. Turns alternate, so that whatever else the machine does falls on all.
"""

import logging
import statistics
import sys
import time
from collections import Counter
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path

import numpy as np
import torch
from torch.profiler import ProfilerActivity, profile
from torch.utils.flop_counter import FlopCounterMode

sys.path.insert(0, str(Path(__file__).parents[1]))
from benchmarks.peers import Peers
from benchmarks.results import Goal, report
from pipeline.memory import keep_freed_memory
from pipeline.models.cyclegan import CycleGAN
from pipeline.models.images import images_from_uint8
from pipeline.models.losses import adversarial_loss, discriminator_loss, l1_loss
from pipeline.models.translator import Batch, ModelConfig
from pipeline.models.vgg import RELU3_2, VggFeatures
from pipeline.training.loader import BatchLoader
from pipeline.training.loop import StepMetrics, train_steps
from pipeline.training.pool import ImagePool
from pipeline.training.recipes import resolve
from pipeline.training.sampling import ArrayImages, PairSampler, step_generator
from pipeline.training.state import TrainingState, build_model, needs_features
from pipeline.training.steps import PlainSteps

DEVICE = torch.device("cuda" if torch.cuda.is_available() else "cpu")
ON_GPU = DEVICE.type == "cuda"
SIZE_PX, PICTURES = 256, 64
ROUNDS, STEPS_A_TURN = (10, 20) if ON_GPU else (5, 1)
WARM_UP_STEPS = 12 if ON_GPU else 1
MATMUL_SIDE = 8192 if ON_GPU else 2048
STUDY_STEPS = 170_250
NAME_LENGTH, SHOWN_SHARES = 60, 8
"""Of operations in the profile; variants of a kernel differ further on in their names and count together."""

Step = Callable[[], object]


class HeldLoader(BatchLoader):
    """A loader that can be held: then it hands over the same pictures again, at no cost."""

    def __init__(self, sampler: PairSampler) -> None:
        super().__init__(sampler, DEVICE)
        self.held: Batch | None = None

    def batch(self, step: int, generator: np.random.Generator) -> Batch:
        return self.held or super().batch(step, generator)


class PlainStep:
    """The study's CycleGAN step written down naively, with the same networks."""

    def __init__(self, pictures: np.ndarray) -> None:
        self.model = CycleGAN(ModelConfig()).to(DEVICE)
        self.generators = torch.optim.Adam(self.model.generator_parameters(), 2e-4, (0.5, 0.999))
        self.discriminators = torch.optim.Adam(self.model.discriminator_parameters(), 2e-4, (0.5, 0.999))
        self.pools = ImagePool(50), ImagePool(50)
        self.pictures, self.chance = pictures, np.random.default_rng(0)

    def __call__(self) -> None:
        model = self.model
        real_a, real_b = (
            images_from_uint8(self.pictures[self.chance.integers(len(self.pictures), size=1)], DEVICE) for _ in "ab"
        )
        for parameter in model.discriminator_parameters():
            parameter.requires_grad_(False)
        fake_b, fake_a = model.generator_a_to_b(real_a), model.generator_b_to_a(real_b)
        loss = adversarial_loss(model.discriminator_b(fake_b)) + adversarial_loss(model.discriminator_a(fake_a))
        loss = loss + 10 * l1_loss(model.generator_b_to_a(fake_b), real_a)
        loss = loss + 10 * l1_loss(model.generator_a_to_b(fake_a), real_b)
        loss = loss + 5 * l1_loss(model.generator_b_to_a(real_a), real_a)
        loss = loss + 5 * l1_loss(model.generator_a_to_b(real_b), real_b)
        self.generators.zero_grad()
        loss.backward()
        self.generators.step()
        for parameter in model.discriminator_parameters():
            parameter.requires_grad_(True)
        self.discriminators.zero_grad()
        shown = ((model.discriminator_a, real_a, fake_a), (model.discriminator_b, real_b, fake_b))
        for pool, (discriminator, real, fake) in zip(self.pools, shown, strict=True):
            pooled = pool.exchange(fake.detach(), self.chance)
            discriminator_loss(discriminator(real), discriminator(pooled)).backward()
        self.discriminators.step()


@dataclass
class Contender:
    """One way of making a step, and the durations of its turns in seconds a step."""

    name: str
    step: Step
    true_float32: bool = False
    durations_s: list[float] = field(default_factory=list)

    def turn(self) -> None:
        with _arithmetic(self.true_float32):
            _wait()
            began_s = time.perf_counter()
            for _ in range(STEPS_A_TURN):
                self.step()
            _wait()
        self.durations_s.append((time.perf_counter() - began_s) / STEPS_A_TURN)

    @property
    def ms(self) -> float:
        return 1000 * statistics.median(self.durations_s)


@contextmanager
def _arithmetic(true_float32: bool) -> Iterator[None]:
    """TF32 in convolutions as PyTorch sets it, or not."""
    before = torch.backends.cudnn.allow_tf32
    torch.backends.cudnn.allow_tf32 = before and not true_float32
    yield
    torch.backends.cudnn.allow_tf32 = before


def _wait() -> None:
    if ON_GPU:
        torch.cuda.synchronize()


class OurStep:
    """The product's loop, one step a call; without end."""

    def __init__(self, model: str, sources: tuple[ArrayImages, ArrayImages], **changes: object) -> None:
        settings = resolve("study", {"steps": 10**9, "perceptual_network": "vgg16", **changes})
        features = VggFeatures(random_features()) if needs_features(model, settings) else None
        state = TrainingState(build_model(model, settings, 0, features), settings, 0, DEVICE)
        self.loader = HeldLoader(PairSampler(*sources, settings, 0))
        self._steps: Iterator[StepMetrics] = train_steps(state, self.loader)

    def __call__(self) -> None:
        next(self._steps)


def random_features() -> dict[str, torch.Tensor]:
    """Weights of the right shapes: what they are makes no difference to the time."""
    widths, state, inputs = iter((64, 64, 128, 128, 256, 256)), {}, 3
    for place in RELU3_2:
        if place is not None:
            outputs = next(widths)
            state |= {f"{place}.weight": 0.01 * torch.randn(outputs, inputs, 3, 3), f"{place}.bias": torch.zeros(outputs)}
            inputs = outputs
    return state


def counted_tflop(sources: tuple[ArrayImages, ArrayImages]) -> float:
    """Floating-point operations of one step, counted while it is made."""
    settings = resolve("study", {"steps": 1})
    state = TrainingState(build_model("cyclegan", settings, 0), settings, 0, DEVICE)
    batch = BatchLoader(PairSampler(*sources, settings, 0), DEVICE).batch(0, step_generator(0, 0))
    steps, counter = PlainSteps(state), FlopCounterMode(display=False)
    with counter:
        _, fakes = steps.generator_step(batch, 2e-4)
        steps.discriminator_step(batch, fakes, 2e-4)
    return counter.get_total_flops() / 1e12


def loader_ms(ours: OurStep) -> float:
    """What choosing, cutting and handing over the pictures adds to a step.

    On a GPU, which works meanwhile: a step with them, less one with the same ones again. On the CPU the time of it.
    """
    if not ON_GPU:
        durations_s = []
        for step in range(50):
            began_s = time.perf_counter()
            ours.loader.batch(step, step_generator(0, step))
            durations_s.append(time.perf_counter() - began_s)
        return 1000 * statistics.median(durations_s)
    fresh, same = Contender("fresh", ours), Contender("same", ours)
    held = ours.loader.batch(0, step_generator(0, 0))
    for _ in range(ROUNDS):
        for contender in (fresh, same):
            ours.loader.held = held if contender is same else None
            contender.turn()
    ours.loader.held = None
    return max(0.0, fresh.ms - same.ms)


def peak_tflop_s(dtype: torch.dtype) -> float:
    """What a large matrix product reaches on this device."""
    left, right = (torch.randn(MATMUL_SIDE, MATMUL_SIDE, device=DEVICE).to(dtype) for _ in "lr")
    best_s = float("inf")
    for _ in range(5):
        _wait()
        began_s = time.perf_counter()
        torch.mm(left, right)
        _wait()
        best_s = min(best_s, time.perf_counter() - began_s)
    return 2 * MATMUL_SIDE**3 / best_s / 1e12


def shares(step: Step) -> dict[str, float]:
    """The operations that take most of a step: their share of the time in per cent."""
    activity = ProfilerActivity.CUDA if ON_GPU else ProfilerActivity.CPU
    with profile(activities=[activity]) as profiled:
        step()
        _wait()
    times: Counter[str] = Counter()
    for event in profiled.key_averages():
        times[event.key[:NAME_LENGTH]] += event.self_device_time_total if ON_GPU else event.self_cpu_time_total
    whole = sum(times.values()) or 1.0
    return {name: round(100 * spent / whole, 1) for name, spent in times.most_common(SHOWN_SHARES)}


def has_bfloat16() -> bool:
    """Whether this processor multiplies bfloat16 by itself."""
    capabilities = torch.cpu.get_capabilities()
    return any(capabilities.get(name, False) for name in ("avx512_bf16", "amx_bf16", "bf16"))


class NoFallback(logging.Handler):
    """Ends the benchmark where a step could not be compiled or recorded: it would be timed as if it had been."""

    def emit(self, record: logging.LogRecord) -> None:
        raise SystemExit(record.getMessage())


def main() -> None:
    keep_freed_memory()  # as the product's own processes do
    rng = np.random.default_rng(0)
    shape = (PICTURES, SIZE_PX, SIZE_PX)
    rgb, alpha = rng.integers(0, 256, (*shape, 3), dtype=np.uint8), rng.integers(0, 256, shape, dtype=np.uint8)
    sources = ArrayImages(rgb, alpha), ArrayImages(rgb[::-1].copy(), alpha[::-1].copy())
    torch.backends.cudnn.benchmark = True
    for part in ("loop", "recording"):
        logging.getLogger(f"pipeline.training.{part}").addHandler(NoFallback(logging.WARNING))
    plain = Contender("plain", PlainStep(rgb))
    ours = OurStep("cyclegan", sources, precision="bfloat16")
    half = Contender("ours, bfloat16", ours)
    masked = Contender("ours, bfloat16, mask_loss_overlay", OurStep("mask_loss_overlay", sources, precision="bfloat16"))
    contenders = [plain, half, masked]
    if ON_GPU:
        contenders.append(Contender("plain, true float32", plain.step, true_float32=True))
    else:
        contenders.append(Contender("ours, float32", OurStep("cyclegan", sources)))
    for contender in contenders:
        for _ in range(WARM_UP_STEPS):
            contender.step()
    for _ in range(ROUNDS):
        for contender in contenders:
            contender.turn()
    tflop, wide, narrow = counted_tflop(sources), peak_tflop_s(torch.float32), peak_tflop_s(torch.bfloat16)
    loading_ms = loader_ms(ours)
    figures: dict[str, float | str] = {f"{contender.name}, ms a step": round(contender.ms, 2) for contender in contenders}
    ratio, dearer = plain.ms / half.ms, masked.ms / half.ms - 1
    figures |= {
        "plain / ours, bfloat16": round(ratio, 2),
        "mask terms cost": round(dearer, 3),
        "TFLOP a step": round(tflop, 3),
        "matrix product, float32, TFLOP/s": round(wide, 3),
        "matrix product, bfloat16, TFLOP/s": round(narrow, 3),
        "share of that product, ours, bfloat16": round(tflop / (half.ms / 1000) / narrow, 3),
        "loader adds, ms a step": round(loading_ms, 3),
        "loader's share of a step": round(loading_ms / half.ms, 4),
        "hours for the study's 170,250 steps": round(STUDY_STEPS * half.ms / 3.6e6, 2),
        "device": torch.cuda.get_device_name() if ON_GPU else f"CPU, {torch.get_num_threads()} threads",
        "torch": torch.__version__,
    }
    figures |= {f"per cent in {name}": share for name, share in shares(half.step).items()}
    goals = [Goal("loader under 2 % of the step", round(loading_ms / half.ms, 4), loading_ms < 0.02 * half.ms)]
    if ON_GPU:
        goals += [
            Goal("at least 2.5 times as fast as the plain step", round(ratio, 2), ratio >= 2.5),
            Goal("at most 7 ms a step", round(half.ms, 2), half.ms <= 7),
            Goal("mask terms at most 25 % more", round(dearer, 3), dearer <= 0.25),
        ]
    elif has_bfloat16():
        goals += [Goal("at least 1.8 times as fast as the plain step, in bfloat16", round(ratio, 2), ratio >= 1.8)]
    report("train_step_gpu" if ON_GPU else "train_step", figures, goals, Peers(here=("torch",)))


if __name__ == "__main__":
    main()
