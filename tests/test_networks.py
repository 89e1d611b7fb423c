"""Networks: the published layers and parameter counts, and what they do with published weights."""

from __future__ import annotations

import hashlib
import pickle
import socket
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import torch
from torch import Tensor, nn

from sanoscope.errors import ModelError, OptionError
from sanoscope.networks import pretrained
from sanoscope.networks.attention import SelfAttention
from sanoscope.networks.autoencoder import Autoencoder
from sanoscope.networks.folding import folded
from sanoscope.networks.network import parameter_count
from sanoscope.networks.pretrained import load_pretrained
from sanoscope.networks.resnet import ResNetTrunk
from sanoscope.networks.resnet_vae import ResNetVAE
from sanoscope.recipes import RECIPES, get_recipe, histopathology_autoencoders

# At 64×64 with three channels; the last counted by hand: trunk 21,284,672, two heads of
# 2048·128+128 + 128·96+96, a linear 96·2048+2048 and transposed convolutions of 3·3·a·b+b.
PUBLISHED_COUNTS = {
    ("conv-vae", 64): 1_568_643,
    ("conv-vae", 128): 2_355_203,
    ("attention-conv-vae", 128): 2_355_203 + 140_231,
    ("fc-vae", 64): 26_334_336,
    ("resnet34-vae", 96): 21_284_672
    + 2 * (2048 * 128 + 128 + 128 * 96 + 96)
    + (96 * 2048 + 2048)
    + sum(9 * a * b + b for a, b in ((512, 256), (256, 128), (128, 64), (64, 32), (32, 3))),
}


def network(recipe: str, channels: int = 3, size: int = 64, **options: Any) -> Autoencoder:
    changes = {f"network.{name}": value for name, value in options.items()}
    built = get_recipe(recipe).with_options(changes).build("network", in_channels=channels, image_size=size)
    assert isinstance(built, Autoencoder)
    return built


def reconstructed(autoencoder: Autoencoder, images: Tensor, noise: Tensor | None) -> Tensor:
    """A forward pass; of variational networks for histopathology it gives more than the reconstruction."""
    output = autoencoder(images, noise)
    return output if isinstance(output, Tensor) else output.reconstruction


def kinds(module: nn.Module) -> list[str]:
    """Names of the layers that compute something, in order."""
    leaves = (leaf for leaf in module.modules() if not list(leaf.children()))
    return [type(leaf).__name__ for leaf in leaves]


@pytest.mark.parametrize(("recipe", "latent"), PUBLISHED_COUNTS)
def test_parameter_counts_of_the_papers(recipe: str, latent: int) -> None:
    with torch.device("meta"):
        assert parameter_count(network(recipe, latent=latent)) == PUBLISHED_COUNTS[recipe, latent]


def test_attention_network_is_the_default_with_its_published_count() -> None:
    with torch.device("meta"):
        assert parameter_count(network("attention-conv-vae")) == 2_495_434


def test_trunk_counts() -> None:
    with torch.device("meta"):
        assert parameter_count(ResNetTrunk("resnet34")) == 21_284_672
        assert parameter_count(ResNetTrunk("wide_resnet50_2")) == 68_883_240 - 2_049_000
        assert parameter_count(ResNetTrunk("resnet18")) == 11_689_512 - 513_000  # torchvision's, less its fc


NARROW = {
    "fc-vae": {"widths": (6, 4)},
    "conv-vae": {},
    "attention-conv-vae": {"widths": (4, 6, 8)},
    "resnet34-vae": {"backbone": "resnet18", "pretrained": False},
    "constrained-attention-vae": {},
    "beta-vae": {"widths": (4, 6)},
    "deep-perceptual-autoencoder": {"features": "vgg11_bn", "layers": ("r21",), "pretrained": False},
    "piad": {"features": "vgg11_bn", "layers": ("r21",), "pretrained": False},
}
LINEAR_OUTPUT = ("beta-vae", "deep-perceptual-autoencoder", "piad")
# Their features are of grey or colour images; with the channels that others are tried with.
LIKE_PHOTOGRAPHS = {name: {1: 1, 2: 1, 4: 3} for name in ("deep-perceptual-autoencoder", "piad")}
# Frozen networks, and others that do not decode what they encode, need sides of their own, or sample nothing, have
# files of their own; folding is tested here for encoders that are trained.
FROZEN = {"deep-knn", "padim", "patchcore", "deep-if"}
ENCODERS = ("deep-geo", "deep-svdd", "dsebm", "ganomaly", "daol")
PLAIN = {recipe.name for recipe in histopathology_autoencoders.RECIPES}
AUTOENCODERS = [name for name in RECIPES if name not in {*FROZEN, *ENCODERS, *PLAIN, "anogan"}]


@pytest.mark.parametrize(("channels", "size"), [(1, 32), (4, 96)])
@pytest.mark.parametrize("recipe", AUTOENCODERS)
def test_channels_and_sizes_are_free(recipe: str, channels: int, size: int) -> None:
    options = {"latent": 5} | NARROW.get(recipe, {})
    channels = LIKE_PHOTOGRAPHS.get(recipe, {}).get(channels, channels)
    autoencoder = network(recipe, channels, size, **options).eval()
    images = torch.rand(2, channels, size, size) * 2 - 1
    with torch.inference_mode():
        mean, logvar = autoencoder.encode(images)
        decoded = autoencoder.decode(mean)
        plain, sampled = (reconstructed(autoencoder, images, noise) for noise in (None, torch.ones(2, 5)))
    assert decoded.shape == images.shape
    assert mean.shape == (2, 5)
    assert recipe in LINEAR_OUTPUT or decoded.abs().max() <= 1
    torch.testing.assert_close(plain, decoded)
    may_be_sampled = logvar is not None or getattr(autoencoder, "dropout", 0) > 0
    assert torch.equal(sampled, plain) != may_be_sampled
    assert logvar is None or logvar.shape == (2, 5)


@pytest.mark.parametrize(
    ("recipe", "size", "factor"), [("conv-vae", 50, 16), ("conv-vae", 8, 16), ("resnet34-vae", 48, 32)]
)
def test_other_sizes_say_which_would_do(recipe: str, size: int, factor: int) -> None:
    message = rf"image_size must be a multiple of {factor}, not {size}"
    with pytest.raises(OptionError, match=message):
        network(recipe, size=size)


def test_layers_of_the_convolutional_network() -> None:
    stage_down, stage_up = ([convolution, "BatchNorm2d", "ReLU"] for convolution in ("Conv2d", "ConvTranspose2d"))
    vae = network("conv-vae")
    assert kinds(vae.encoder) == [*stage_down * 4, "Flatten"]
    assert kinds(vae.decoder) == ["Linear", "Unflatten", *stage_up * 3, "ConvTranspose2d", "Tanh"]
    down = [layer for layer in vae.encoder.modules() if isinstance(layer, nn.Conv2d)]
    up = [layer for layer in vae.decoder.modules() if isinstance(layer, nn.ConvTranspose2d)]
    widths = [(layer.in_channels, layer.out_channels) for layer in [*down, *up]]
    assert widths == [(3, 32), (32, 64), (64, 128), (128, 256), (256, 128), (128, 64), (64, 32), (32, 3)]
    for layer in [*down, *up]:
        assert (layer.kernel_size, layer.stride, layer.padding) == ((3, 3), (2, 2), (1, 1))
        assert layer.output_padding == ((1, 1) if layer in up else (0, 0))


def test_attention_follows_every_stage_but_the_last() -> None:
    vae = network("attention-conv-vae")
    attention = [layer for layer in vae.modules() if isinstance(layer, SelfAttention)]
    assert [layer.value.in_channels for layer in attention] == [32, 64, 128, 256, 128, 64, 32]
    assert [layer.query.out_channels for layer in attention] == [16, 16, 16, 32, 16, 16, 16]
    stages = [*vae.encoder[:4], *vae.decoder[2:5]]
    assert all(isinstance(stage[-1], SelfAttention) for stage in stages)
    assert kinds(vae.decoder)[-2:] == ["ConvTranspose2d", "Tanh"]


def test_layers_of_the_fully_connected_network() -> None:
    hidden = ["Linear", "BatchNorm1d", "LeakyReLU", "Dropout"]
    vae = network("fc-vae", widths=(7, 6), latent=2)
    assert kinds(vae.encoder) == ["Flatten", *hidden * 2]
    assert kinds(vae.decoder) == [*hidden * 2, "Linear", "Sigmoid", "Unflatten"]
    sizes = [(x.in_features, x.out_features) for x in vae.modules() if isinstance(x, nn.Linear)]
    assert sizes == [(12288, 7), (7, 6), (6, 2), (6, 2), (2, 6), (6, 7), (7, 12288)]
    assert {layer.negative_slope for layer in vae.modules() if isinstance(layer, nn.LeakyReLU)} == {0.02}
    assert {layer.p for layer in vae.modules() if isinstance(layer, nn.Dropout)} == {0.3}


def test_published_output_cannot_be_dark_and_the_corrected_one_can() -> None:
    latents = torch.randn(64, 3) * 100
    lowest = {
        output: network("fc-vae", widths=(16, 8), latent=3, output=output).eval().decode(latents).min()
        for output in ("sigmoid", "tanh")
    }
    assert lowest["sigmoid"] >= 0
    assert lowest["tanh"] < 0


def test_layers_of_the_resnet_network() -> None:
    with torch.device("meta"):
        vae = network("resnet34-vae", pretrained=False)
    head = ["Linear", "ReLU", "Linear"]
    assert kinds(vae.mean) == kinds(vae.logvar) == head
    assert [x.out_features for x in vae.mean if isinstance(x, nn.Linear)] == [128, 96]
    assert kinds(vae.decoder) == [
        "Linear",
        "Unflatten",
        *["ConvTranspose2d", "ReLU"] * 4,
        "ConvTranspose2d",
        "Tanh",
    ]
    up = [layer for layer in vae.decoder if isinstance(layer, nn.ConvTranspose2d)]
    assert [layer.out_channels for layer in up] == [256, 128, 64, 32, 3]
    assert vae.trunk(torch.zeros(2, 3, 64, 64, device="meta")).shape == (2, 512, 2, 2)


def test_attention_starts_as_the_identity() -> None:
    features = torch.randn(2, 32, 5, 7)
    assert torch.equal(SelfAttention(32)(features), features)


@pytest.mark.parametrize("memory_format", [torch.contiguous_format, torch.channels_last])
def test_attention_is_the_written_out_formula(memory_format: torch.memory_format) -> None:
    layer = SelfAttention(160)
    nn.init.constant_(layer.gamma, 0.7)
    features = torch.randn(2, 160, 3, 5).contiguous(memory_format=memory_format)
    with torch.no_grad():
        result = layer(features)
        for image, attended in zip(features, result, strict=True):
            tokens = image.reshape(160, 15)
            queries, keys, values = (
                part.weight[:, :, 0, 0] @ tokens + part.bias[:, None] for part in (layer.query, layer.key, layer.value)
            )
            assert len(queries) == 20  # 160 / 8
            weights = (queries.T @ keys / 20**0.5).softmax(dim=1)  # (query, key)
            expected = 0.7 * (values @ weights.T).reshape(image.shape) + image
            torch.testing.assert_close(attended, expected)


def as_if_trained(module: nn.Module) -> None:
    """Give batch norms something to do."""
    for layer in module.modules():
        if isinstance(layer, nn.modules.batchnorm._BatchNorm):
            for values in (layer.weight, layer.running_var):
                if values is not None:
                    nn.init.uniform_(values, 0.5, 2)
            for values in (layer.bias, layer.running_mean):
                if values is not None:
                    nn.init.normal_(values, std=0.3)


@pytest.mark.parametrize("recipe", ENCODERS)
def test_folded_encoder_is_the_same_function(recipe: str) -> None:
    encoder = get_recipe(recipe).build("network", in_channels=2, image_size=32).eval()
    as_if_trained(encoder)
    images = torch.rand(3, 2, 32, 32) * 2 - 1
    with torch.inference_mode():
        (ours, _), (theirs, _) = folded(encoder).encode(images), encoder.encode(images)
    scale = float(theirs.std())
    assert scale > 0
    torch.testing.assert_close(ours / scale, theirs / scale, rtol=1e-4, atol=1e-4)


@pytest.mark.parametrize("recipe", AUTOENCODERS)
def test_folded_network_is_the_same_function(recipe: str) -> None:
    channels = LIKE_PHOTOGRAPHS.get(recipe, {}).get(2, 2)
    vae = network(recipe, channels, 32, latent=3, **NARROW.get(recipe, {}))
    as_if_trained(vae)
    before = {name: value.clone() for name, value in vae.train().state_dict().items()}
    copy = folded(vae)
    assert vae.training
    assert not copy.training
    assert all(torch.equal(before[name], value) for name, value in vae.state_dict().items())
    images = torch.rand(3, channels, 32, 32) * 2 - 1
    with torch.inference_mode():
        for ours, theirs in zip(
            (*copy.encode(images), copy(images)), (*vae.eval().encode(images), vae(images)), strict=True
        ):
            torch.testing.assert_close(ours, theirs, rtol=1e-4, atol=1e-4)
    if "conv" in recipe:
        assert not any(isinstance(layer, nn.BatchNorm2d) for layer in copy.modules())


def test_sample_is_the_reparameterised_one() -> None:
    vae = network("conv-vae", size=16, latent=3, widths=(2, 3, 4, 5)).eval()
    images, noise = torch.rand(2, 3, 16, 16), torch.randn(2, 3)
    with torch.inference_mode():
        mean, logvar = vae.encode(images)
        expected = vae.decode(mean + noise * logvar.exp().sqrt())
        torch.testing.assert_close(vae(images, noise).reconstruction, expected)


def test_runaway_logvar_is_reported_but_does_not_overflow() -> None:
    vae = network("conv-vae", size=16, latent=3, widths=(2, 3, 4, 5)).eval()
    nn.init.constant_(vae.logvar.bias, 1000.0)
    output = vae(torch.rand(2, 3, 16, 16), torch.randn(2, 3))
    assert output.logvar.min() > 900
    assert output.reconstruction.isfinite().all()


def test_output_heads_are_float32_in_mixed_precision() -> None:
    vae = network("conv-vae", size=16, latent=3, widths=(2, 3, 4, 5)).eval()
    with torch.autocast("cpu", torch.bfloat16):
        output = vae(torch.rand(2, 3, 16, 16))
    assert output.mean.dtype == output.logvar.dtype == torch.float32


def resnet_vae(**options: Any) -> ResNetVAE:
    vae = network("resnet34-vae", size=32, backbone="resnet18", latent=4, **options)
    assert isinstance(vae, ResNetVAE)
    return vae


def statistics(vae: ResNetVAE) -> dict[str, Tensor]:
    return {name: value.clone() for name, value in vae.trunk.named_buffers()}


@pytest.mark.parametrize("frozen_bn", [False, True])
def test_frozen_trunk(frozen_bn: bool) -> None:
    vae = resnet_vae(pretrained=False, frozen=True, frozen_bn=frozen_bn).train()
    before = statistics(vae)
    vae(torch.randn(2, 3, 32, 32)).reconstruction.sum().backward()
    assert all(parameter.grad is None for parameter in vae.trunk.parameters())
    assert all(parameter.grad is not None for parameter in vae.decoder.parameters())
    moved = [not torch.equal(before[name], value) for name, value in vae.trunk.named_buffers()]
    assert any(moved) is not frozen_bn
    assert all(moved) is not frozen_bn
    assert vae.trunk.training is not frozen_bn
    assert vae.decoder.training
    assert not vae.eval().trunk.training


def test_unfrozen_trunk_learns_whatever_frozen_bn_says() -> None:
    vae = resnet_vae(pretrained=False, frozen=False, frozen_bn=True).train()
    before = statistics(vae)
    output = vae(torch.randn(2, 3, 32, 32))
    (output.reconstruction.sum() + output.mean.sum()).backward()
    assert all(parameter.grad is not None for parameter in vae.trunk.parameters())
    assert not torch.equal(before["bn1.running_mean"], vae.trunk.bn1.running_mean)


class TwoLayers(nn.Module):
    """A backbone small enough to be saved and loaded often."""

    def __init__(self) -> None:
        super().__init__()
        self.conv1 = nn.Conv2d(3, 4, 3, bias=False)
        self.bn1 = nn.BatchNorm2d(4)


def published_file(path: Path, trunk: nn.Module | None = None, **changes: Tensor) -> dict[str, Tensor]:
    """Random weights as torchvision publishes them, with a classifier and without counters of batches."""
    state = (trunk or TwoLayers()).state_dict()
    weights = {key: value.clone() for key, value in state.items() if "num_batches" not in key}
    weights |= {"fc.weight": torch.zeros(3, 4), "fc.bias": torch.zeros(3)} | changes
    torch.save(weights, path)
    return weights


def load(file: Path | None) -> TwoLayers:
    trunk = TwoLayers()
    load_pretrained(trunk, "resnet18", None if file is None else str(file), option="network")
    return trunk


def assert_has(trunk: nn.Module, weights: dict[str, Tensor]) -> None:
    for name, value in trunk.state_dict().items():
        if "num_batches" not in name:
            assert torch.equal(value, weights[name]), name


def test_weights_from_a_local_file(tmp_path: Path) -> None:
    weights = published_file(tmp_path / "mine.pth", ResNetTrunk("resnet18"))
    vae = resnet_vae(weights=str(tmp_path / "mine.pth"))
    assert not torch.equal(vae.trunk.conv1.weight, weights["conv1.weight"])  # only fetched when asked for
    vae.initialise()
    assert_has(vae.trunk, weights)


def test_random_weights_where_asked_for(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(pretrained, "URLS", {})
    vae = resnet_vae(pretrained=False)
    before = vae.trunk.conv1.weight.clone()
    vae.initialise()
    assert torch.equal(vae.trunk.conv1.weight, before)


@pytest.fixture
def hub(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """Torch's own cache, empty; requests go to this machine only."""
    monkeypatch.setenv("TORCH_HOME", str(tmp_path / "torch"))
    monkeypatch.setenv("no_proxy", "*")
    return tmp_path / "torch" / "hub" / "checkpoints"


def test_weights_by_name(tmp_path: Path, hub: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    weights = published_file(tmp_path / "raw")
    digest = hashlib.sha256((tmp_path / "raw").read_bytes()).hexdigest()[:8]
    source = (tmp_path / "raw").rename(tmp_path / f"resnet18-{digest}.pth")
    monkeypatch.setitem(pretrained.URLS, "resnet18", source.as_uri())
    assert_has(load(None), weights)
    assert [path.name for path in hub.iterdir()] == [source.name]
    source.unlink()  # a second time nothing is downloaded
    assert_has(load(None), weights)


def test_weights_by_name_with_a_wrong_hash(tmp_path: Path, hub: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    published_file(tmp_path / "resnet18-00000000.pth")
    monkeypatch.setitem(pretrained.URLS, "resnet18", (tmp_path / "resnet18-00000000.pth").as_uri())
    with pytest.raises(ModelError, match=r"resnet18-00000000.pth: .* is not the published file .*hash"):
        load(None)
    assert not list(hub.iterdir())


@pytest.mark.parametrize("content", [b"", b"PK", b"no weights at all"])
def test_damaged_file_in_the_cache_says_where_it_is(
    content: bytes, tmp_path: Path, hub: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setitem(pretrained.URLS, "resnet18", (tmp_path / "resnet18-00000000.pth").as_uri())
    hub.mkdir(parents=True)
    (hub / "resnet18-00000000.pth").write_bytes(content)
    with pytest.raises(ModelError, match="delete it from") as caught:
        load(None)
    assert str(hub) in str(caught.value)
    assert "\n" not in str(caught.value)


@pytest.mark.parametrize("kind", ["refused", "absent"])
def test_offline_says_how_to_give_a_file(kind: str, tmp_path: Path, hub: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    with socket.socket() as taken:  # bound but not listening, so nobody else can answer there
        taken.bind(("127.0.0.1", 0))
        refused = f"http://127.0.0.1:{taken.getsockname()[1]}/resnet18-00000000.pth"
        url = refused if kind == "refused" else (tmp_path / "resnet18-00000000.pth").as_uri()
        monkeypatch.setitem(pretrained.URLS, "resnet18", url)
        with pytest.raises(ModelError, match="resnet18 cannot be downloaded") as caught:
            load(None)
    for part in (url, "network.weights", "network.pretrained=false"):
        assert part in str(caught.value)


class Malicious:
    """Touches a file when unpickled carelessly."""

    def __init__(self, trace: Path) -> None:
        self.trace = trace

    def __reduce__(self) -> tuple[Any, ...]:
        return Path.touch, (self.trace,)


def test_weights_never_run_code(tmp_path: Path) -> None:
    trace, file = tmp_path / "ran", tmp_path / "bad.pth"
    torch.save({"a": Malicious(trace)}, file)
    torch.load(file, weights_only=False)
    assert trace.exists()  # it would run
    trace.unlink()
    for content in (file.read_bytes(), pickle.dumps(Malicious(trace))):
        file.write_bytes(content)
        with pytest.raises(ModelError, match=r"bad.pth: cannot be read as weights"):
            load(file)
        assert not trace.exists()


@pytest.mark.parametrize("value", [[1, 2], {"a": 1}, {0: torch.zeros(1)}, torch.zeros(3), {"state_dict": {}}])
def test_file_of_something_else(tmp_path: Path, value: Any) -> None:
    torch.save(value, tmp_path / "other.pth")
    with pytest.raises(ModelError, match=r"other.pth: holds something other than a dictionary of tensors"):
        load(tmp_path / "other.pth")


def test_file_that_is_missing_or_none_of_weights(tmp_path: Path) -> None:
    with pytest.raises(ModelError, match=r"none.pth: no such file"):
        load(tmp_path / "none.pth")
    (tmp_path / "text.pth").write_text("hello")
    with pytest.raises(ModelError, match=r"text.pth: cannot be read as weights"):
        load(tmp_path / "text.pth")


@pytest.mark.parametrize(
    ("changes", "reason"),
    [
        ({f"layer{i}.weight": torch.zeros(1) for i in range(200)}, "Unexpected key"),
        (None, "Missing key"),
        ({"conv1.weight": torch.zeros(4, 1, 3, 3)}, "size mismatch for conv1.weight"),
    ],
)
def test_file_of_another_network(tmp_path: Path, changes: dict[str, Tensor] | None, reason: str) -> None:
    file = tmp_path / "other.pth"
    if changes is None:
        torch.save({}, file)
    else:
        published_file(file, **changes)
    with pytest.raises(ModelError, match=f"does not hold the weights of resnet18 .*{reason}") as caught:
        load(file)
    assert str(caught.value).startswith(str(file))
    assert "\n" not in str(caught.value)
    assert len(str(caught.value)) < len(str(file)) + 300


def test_published_weights_see_three_channels() -> None:
    vae = ResNetVAE(1, 32, 4, "resnet18", True, None, False, False)
    with pytest.raises(OptionError, match=r"3 channels, the images have 1; set preparation.channels=rgb"):
        vae.initialise()


@pytest.mark.real_data
def test_parameter_names_are_torchvisions(real_weights: Callable[[str], Path]) -> None:
    file = real_weights("resnet18_imagenet_conv1_to_layer3_bnfolded_torchvision.pth")
    published = torch.load(file, map_location="cpu", weights_only=True)
    ours = {name: value for name, value in ResNetTrunk("resnet18").state_dict().items() if "layer4" not in name}
    assert {name: value.shape for name, value in ours.items()} == {
        name: value.shape for name, value in published.items()
    }
