"""The semantic model: exact where its loss has no weight, soft on both sides, and held to what the input showed."""

import math
from pathlib import Path

import numpy as np
import pytest
import torch
from torch import Tensor, nn

from pipeline.errors import ConfigError, WeightsError
from pipeline.models.cyclegan import CycleGAN
from pipeline.models.losses import semantic_loss
from pipeline.models.networks import DiscriminatorConfig, GeneratorConfig
from pipeline.models.onnx_network import OnnxNetwork
from pipeline.models.parsers import PARSERS, Parser, SalientLogits, frozen, load_parser
from pipeline.models.parts_networks import CLASSES, NETWORKS, learn_parts, save_parts_network
from pipeline.models.semantic import Semantic
from pipeline.models.torchvision_networks import VOC_CLASSES, segmentation_network
from pipeline.models.translator import Batch, ModelConfig
from pipeline.plain_files import read_plain
from tests.conftest import WEIGHTS

SMALL = {
    "generator": GeneratorConfig(channels=4, blocks=1),
    "discriminator": DiscriminatorConfig(channels=4, strided_layers=1),
}


class Brightness(nn.Module):
    """Sees two classes: the brighter a place, the surer the second."""

    def __init__(self, slope: float = 8.0) -> None:
        super().__init__()
        self.slope = nn.Parameter(torch.tensor(slope))

    def forward(self, images: Tensor) -> Tensor:
        bright = self.slope * images.mean(1, keepdim=True)
        return torch.cat([-bright, bright], 1)


def brightness() -> Parser:
    return Parser(Brightness(), ("dark", "bright"), side_px=16)


def made_alike(model: type[CycleGAN], weight: float = 10.0, parser: nn.Module | None = None) -> CycleGAN:
    torch.manual_seed(0)
    return model(ModelConfig(**SMALL, semantic_weight=weight), None, parser)


def batch(size: int = 2) -> Batch:
    generator = torch.Generator().manual_seed(1)
    real_a, real_b = (torch.rand(size, 3, 16, 16, generator=generator) * 2 - 1 for _ in range(2))
    alpha = torch.zeros(size, 1, 16, 16)
    return Batch(real_a, alpha, real_b, alpha)


def test_the_loss_is_the_divergence_weighed_by_how_sure_the_input_is() -> None:
    target = torch.tensor([[2.0, 0.0], [0.0, 0.0]]).T.reshape(1, 2, 1, 2)
    result = torch.tensor([[0.0, 0.0], [5.0, 0.0]]).T.reshape(1, 2, 1, 2)
    share = 1 / (1 + math.exp(-2.0))
    divergence = share * math.log(share / 0.5) + (1 - share) * math.log((1 - share) / 0.5)
    # The second place is undecided and does not count, whatever becomes of it.
    assert semantic_loss(result, target).item() == pytest.approx(divergence, rel=1e-5)


def test_a_place_counts_by_its_sureness() -> None:
    target = torch.tensor([[6.0, 0.0], [1.0, 0.0]]).T.reshape(1, 2, 1, 2)
    result = torch.zeros_like(target).requires_grad_()
    (gradient,) = torch.autograd.grad(semantic_loss(result, target), result)
    sure, unsure = gradient.abs().sum(1).flatten().tolist()
    assert sure > 4 * unsure > 0


def test_equal_pictures_lose_nothing_and_a_batch_is_the_mean_of_its_pictures() -> None:
    generator = torch.Generator().manual_seed(3)
    result, target = (torch.randn(2, 5, 4, 4, generator=generator) for _ in range(2))
    assert semantic_loss(target, target).item() == pytest.approx(0.0, abs=1e-6)
    each = [semantic_loss(result[one : one + 1], target[one : one + 1]).item() for one in range(2)]
    assert semantic_loss(result, target).item() == pytest.approx(sum(each) / 2, rel=1e-5)
    assert min(each) > 0


def test_the_gradient_is_that_of_small_steps() -> None:
    parser, generator = brightness().double(), torch.Generator().manual_seed(4)
    real = torch.rand(1, 3, 16, 16, generator=generator, dtype=torch.float64) * 2 - 1
    patch = torch.rand(1, 3, 2, 2, generator=generator, dtype=torch.float64).requires_grad_()

    def loss(values: Tensor) -> Tensor:
        generated = torch.cat([torch.cat([values, real[..., :2, 2:]], 3), real[..., 2:, :]], 2)
        # The parser puts out float32: its network is asked itself.
        return semantic_loss(parser.network(generated), parser.network(real))

    assert torch.autograd.gradcheck(loss, (patch,))


def test_without_weight_it_is_cyclegan_to_the_bit() -> None:
    plain, semantic = made_alike(CycleGAN), made_alike(Semantic, weight=0.0)
    for one in (plain, semantic):
        optimiser = torch.optim.Adam(one.generator_parameters(), 1e-3)
        for _ in range(3):
            optimiser.zero_grad()
            one.objective(one.generator_terms(batch(), one.translations(batch()))).backward()
            optimiser.step()
    torch.testing.assert_close(semantic.state_dict(), plain.state_dict(), rtol=0, atol=0)


def test_it_asks_for_the_same_and_for_what_is_seen_in_both_directions() -> None:
    parser = brightness()
    model, given = made_alike(Semantic, parser=parser), batch()
    made = model.translations(given)
    terms = model.generator_terms(given, made)
    expected = {
        "semantic_a": semantic_loss(parser(made.fake_b), parser(given.real_a)),
        "semantic_b": semantic_loss(parser(made.fake_a), parser(given.real_b)),
    }
    torch.testing.assert_close(terms, CycleGAN.generator_terms(model, given, made) | expected)
    assert model.weights["semantic_a"] == model.weights["semantic_b"] == 10.0
    gradients = torch.autograd.grad(terms["semantic_a"], [*model.generator_a_to_b.parameters()], allow_unused=True)
    assert sum(float(one.abs().sum()) for one in gradients if one is not None) > 0
    with pytest.raises(ValueError, match="needs a parser"):
        made_alike(Semantic).generator_terms(given, made)


def test_the_parser_holds_content_where_a_colour_is_asked_for() -> None:
    """Gradient descent on the semantic terms alone undoes a generator that inverts its input."""
    parser, model = brightness(), made_alike(Semantic, parser=brightness())
    real = batch().real_a
    shift = nn.Parameter(torch.zeros_like(real))
    optimiser = torch.optim.Adam([shift], 0.05)
    before = model.kept(real, -real).item()
    for _ in range(150):
        optimiser.zero_grad()
        model.kept(real, -real + shift).backward()
        optimiser.step()
    assert model.kept(real, -real + shift).item() < 0.05 * before
    sure = parser(real).softmax(1).amax(1) > 0.9
    same = parser(-real + shift).argmax(1) == parser(real).argmax(1)
    assert same[sure].float().mean() > 0.98


def test_a_parser_is_frozen_outside_the_state_and_stays_in_eval_mode() -> None:
    parser = Parser(nn.Sequential(nn.Conv2d(3, 2, 3, padding=1), nn.BatchNorm2d(2)), ("a", "b"), 16)
    before = [value.clone() for value in parser.buffers()]
    picture = torch.rand(1, 3, 24, 24, requires_grad=True)
    parser.train()(picture).sum().backward()
    assert not [*parser.parameters()]
    assert not parser.state_dict()
    assert picture.grad is not None
    assert picture.grad.abs().sum() > 0
    assert not any(part.training for part in parser.modules())
    assert all(torch.equal(one, other) for one, other in zip(before, parser.buffers(), strict=True))
    model = made_alike(Semantic, parser=parser).train()
    assert not any("parser" in name for name in model.state_dict())


@pytest.mark.parametrize(("shape", "seen"), [((16, 16), (16, 16)), ((64, 48), (21, 16)), ((8, 8), (16, 16))])
def test_a_parser_sees_pictures_of_any_size_at_its_own(shape: tuple[int, int], seen: tuple[int, int]) -> None:
    assert brightness()(torch.zeros(1, 3, *shape)).shape == (1, 2, *seen)


@pytest.mark.parametrize("name", ["lraspp_mobilenet", "deeplabv3_mobilenet"])
def test_torchvisions_networks_parse_and_pass_gradients(name: str) -> None:
    torch.manual_seed(0)
    parser = Parser(segmentation_network(name), VOC_CLASSES, 64)
    picture = torch.rand(1, 3, 64, 64, requires_grad=True)
    logits = parser(picture)
    assert logits.shape == (1, 21, 64, 64)
    (gradient,) = torch.autograd.grad(logits.square().mean(), picture)
    assert gradient.abs().sum() > 0


@pytest.mark.skipif(not (WEIGHTS / "u2netp.onnx").exists(), reason="the weights of U²-Netp are not here")
def test_the_stored_network_walked_in_torch_equals_onnxruntime_and_passes_gradients() -> None:
    import onnxruntime

    model = read_plain(WEIGHTS / "u2netp.onnx")
    picture = torch.rand(1, 3, 320, 320, generator=torch.Generator().manual_seed(0))
    options = onnxruntime.SessionOptions()
    options.log_severity_level = 3
    session = onnxruntime.InferenceSession(model, options, providers=["CPUExecutionProvider"])
    (name,) = (one.name for one in session.get_inputs())
    expected = session.run(None, {name: picture.numpy()})[0]
    walked = OnnxNetwork(model)(picture)
    np.testing.assert_allclose(walked.numpy(), expected, atol=2e-5)
    torch.testing.assert_close(SalientLogits(model)(picture).softmax(1)[:, 1:], walked, atol=1e-6, rtol=1e-5)
    small = picture[..., :64, :64].clone().requires_grad_()
    (gradient,) = torch.autograd.grad(SalientLogits(model)(small)[:, 1].mean(), small)
    assert gradient.abs().sum() > 0


def test_what_is_no_network_is_refused(tmp_path: Path) -> None:
    with pytest.raises(WeightsError, match="no ONNX"):
        OnnxNetwork(b"something else")
    with pytest.raises(ConfigError, match=r"no parser 'eyes'; there are: parts, .*u2netp"):
        load_parser("eyes", tmp_path)
    with pytest.raises(WeightsError, match="bokehflow weights"):
        load_parser("parts", tmp_path)
    (tmp_path / "parts-1.safetensors").write_bytes(b"something else")
    with pytest.raises(WeightsError, match="damaged"):
        load_parser("parts", tmp_path)


def stripes() -> tuple[np.ndarray, np.ndarray]:
    """Pictures of four bands, each class of its own colour."""
    random = np.random.default_rng(0)
    colours = np.array([[40, 60, 200], [230, 180, 150], [60, 30, 10], [40, 200, 60]])
    labels = np.stack([np.repeat(np.roll([0, 1, 2, 3], turn), 24)[:, None].repeat(96, 1) for turn in range(4)])
    rgb = colours[labels] + random.integers(-10, 11, (*labels.shape, 3))
    return rgb.clip(0, 255).astype(np.uint8), labels.astype(np.uint8)


@pytest.mark.parametrize("name", sorted(NETWORKS))
def test_a_parts_network_learns_from_labels_the_same_each_time_and_is_stored(name: str, tmp_path: Path) -> None:
    rgb, labels = stripes()
    network = learn_parts(name, rgb, labels, steps=16)
    again = learn_parts(name, rgb, labels, steps=16)
    torch.testing.assert_close(again.state_dict(), network.state_dict(), rtol=0, atol=0)
    save_parts_network(name, network, tmp_path)
    parser = load_parser(name, tmp_path)
    assert parser.classes == CLASSES
    seen = parser(torch.from_numpy(rgb).permute(0, 3, 1, 2).float() / 127.5 - 1)
    small = labels[:, ::3, ::3]
    found = torch.nn.functional.interpolate(seen, small.shape[1:], mode="nearest").argmax(1).numpy()
    assert (found == small).mean() > 0.6
    assert set(PARSERS) > set(NETWORKS)
    assert not [*frozen(network).parameters()]
