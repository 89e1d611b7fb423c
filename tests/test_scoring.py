"""Scores and maps: closed forms, and independence of what else is in the batch."""

from __future__ import annotations

import gc
import mmap
import weakref
from dataclasses import dataclass

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy.stats import wasserstein_distance
from sklearn.decomposition import PCA
from torch import Tensor, nn

from sanoscope.cases.case import Case, Cases
from sanoscope.errors import OptionError
from sanoscope.networks.autoencoder import VariationalAutoencoder
from sanoscope.preparation.cache import cache_folder
from sanoscope.preparation.pictures import Pictures
from sanoscope.preparation.preparation import Preparation
from sanoscope.recipes import get_recipe
from sanoscope.scoring import inference as inference_module
from sanoscope.scoring.inference import BATCH, Inference
from sanoscope.scoring.noise import noise_of
from sanoscope.scoring.postprocessing import Postprocessing
from sanoscope.scoring.reconstruction import SCORES, ReconstructionScoring
from sanoscope.scoring.trivial import COMPONENTS, LEAST_DEVIATION, NAMES, PCA_IMAGES, TrivialScores
from sanoscope.scoring.wasserstein import wasserstein


class ToyVAE(VariationalAutoencoder):
    """A linear encoder and decoder of 2×4×4 images, small enough to follow by hand."""

    def __init__(self, latent: int = 3) -> None:
        super().__init__()
        self.latent = latent
        generator = torch.Generator().manual_seed(0)
        self.weights = nn.Parameter(torch.randn(3, 32, latent, generator=generator) / 6)

    def encode(self, images: Tensor) -> tuple[Tensor, Tensor]:
        flat = images.flatten(1)
        return flat @ self.weights[0], flat @ self.weights[1]

    def decode(self, latents: Tensor) -> Tensor:
        return (latents @ self.weights[2].T).tanh().reshape(-1, 2, 4, 4)


@pytest.fixture
def images() -> Tensor:
    return torch.rand(6, 2, 4, 4, generator=torch.Generator().manual_seed(1)) * 2 - 1


def scoring(
    score: str = "mse", also: str = "all", latent: str = "mean", seed: int = 0, beta: float = 1.0
) -> ReconstructionScoring:
    return ReconstructionScoring(score, also, latent, seed, beta)


def pairs(values: st.SearchStrategy[float]) -> st.SearchStrategy[list[tuple[float, float]]]:
    return st.lists(st.tuples(values, values), min_size=4, max_size=24).filter(lambda drawn: len(drawn) % 4 == 0)


@settings(deadline=None)
@given(pairs(st.floats(-1, 1, width=32) | st.sampled_from([-1.0, 0.0, 1.0])))
def test_wasserstein_is_that_of_scipy(drawn: list[tuple[float, float]]) -> None:
    first, second = np.array(drawn, np.float32).T
    one, other = (torch.from_numpy(part.reshape(1, -1, 2, 2).copy()) for part in (first, second))
    distance = wasserstein(one, other).item()
    assert distance == pytest.approx(wasserstein_distance(first, second), abs=1e-6)
    assert distance == pytest.approx(np.abs(np.sort(first) - np.sort(second)).mean(), abs=1e-6)
    assert distance == pytest.approx(wasserstein(other, one).item())


def test_wasserstein_closed_forms(images: Tensor) -> None:
    assert wasserstein(images, images + 0.25).tolist() == pytest.approx([0.25] * 6)
    assert wasserstein(images, images).tolist() == [0.0] * 6
    shuffled = images.flatten(1)[:, torch.randperm(32)].reshape(images.shape)
    assert wasserstein(images, shuffled).tolist() == [0.0] * 6  # it does not see where pixels are


@pytest.mark.parametrize("dtype", [torch.float32, torch.bfloat16])
@pytest.mark.parametrize("memory_format", [torch.contiguous_format, torch.channels_last])
def test_wasserstein_of_other_types_and_layouts(
    images: Tensor, dtype: torch.dtype, memory_format: torch.memory_format
) -> None:
    reconstructions = images.flip(0).to(dtype).contiguous(memory_format=memory_format)
    given_images = images.contiguous(memory_format=memory_format)
    kept, kept_reconstructions = given_images.clone(), reconstructions.clone()
    distances = wasserstein(given_images, reconstructions)
    expected = images.flatten(1).sort(1).values - reconstructions.float().flatten(1).sort(1).values
    torch.testing.assert_close(distances, expected.abs().mean(1))
    assert torch.equal(given_images, kept)
    assert torch.equal(reconstructions, kept_reconstructions)


def test_scores_and_map_are_their_formulas(images: Tensor) -> None:
    vae, beta = ToyVAE(), 2.5
    scored = scoring(beta=beta)(vae, images)
    with torch.no_grad():
        mean, logvar = vae.encode(images)
        reconstructions = vae.decode(mean)
    residual = (images - reconstructions) ** 2
    kl = 0.5 * (mean**2 + logvar.exp() - 1 - logvar).sum(1)
    torch.testing.assert_close(scored.reconstructions, reconstructions)
    torch.testing.assert_close(scored.maps["squared-error"], residual.mean(1))
    torch.testing.assert_close(scored.scores["mse"], residual.flatten(1).mean(1))
    torch.testing.assert_close(scored.scores["kl"], kl)
    torch.testing.assert_close(scored.scores["elbo"], residual.flatten(1).sum(1) + beta * kl)
    torch.testing.assert_close(scored.scores["wasserstein"], wasserstein(images, reconstructions))
    torch.testing.assert_close(scoring().latents(vae, images), mean)


def test_the_deciding_score_comes_first_and_others_where_asked_for(images: Tensor) -> None:
    for name in SCORES:
        every = scoring(name)(ToyVAE(), images).scores
        alone = scoring(name, also="none")(ToyVAE(), images).scores
        assert set(every) == set(SCORES)
        assert next(iter(every)) == name
        assert list(alone) == [name]
        assert torch.equal(alone[name], every[name])
    with pytest.raises(OptionError, match=r"unknown scoring\.score 'psnr'; one of wasserstein, mse, elbo, kl"):
        scoring("psnr")


@pytest.mark.parametrize("latent", ["mean", "sample"])
@pytest.mark.parametrize("memory_format", [torch.contiguous_format, torch.channels_last])
def test_score_depends_on_the_image_alone(images: Tensor, latent: str, memory_format: torch.memory_format) -> None:
    vae = ToyVAE()
    together = scoring(latent=latent)(vae, images)
    order = torch.tensor([4, 0, 5, 2])
    others = scoring(latent=latent)(vae, images[order].contiguous(memory_format=memory_format))
    for name in SCORES:
        torch.testing.assert_close(others.scores[name], together.scores[name][order])
        alone = [scoring(latent=latent)(vae, image[None]).scores[name] for image in images]
        torch.testing.assert_close(torch.cat(alone), together.scores[name])
    torch.testing.assert_close(others.maps["squared-error"], together.maps["squared-error"][order])


def test_sampling_ignores_the_global_generator_and_leaves_it_alone(images: Tensor) -> None:
    torch.manual_seed(1)
    first = scoring(latent="sample")(ToyVAE(), images)
    following = torch.rand(1)
    torch.manual_seed(1)
    assert torch.equal(torch.rand(1), following)
    again = scoring(latent="sample")(ToyVAE(), images)
    assert torch.equal(again.maps["squared-error"], first.maps["squared-error"])


def test_samples_differ_by_seed_and_by_image(images: Tensor) -> None:
    vae = ToyVAE(latent=4)
    by_seed = [noise_of(images, 4, seed) for seed in (0, 1, 2**40)]
    rows = torch.cat(by_seed)
    assert len({tuple(row) for row in rows.tolist()}) == 18
    maps = [scoring(latent="sample", seed=seed)(vae, images).maps["squared-error"] for seed in (0, 1)]
    assert not torch.isclose(*maps).all(dim=(1, 2)).any()
    assert not torch.isclose(maps[0], scoring()(vae, images).maps["squared-error"]).all(dim=(1, 2)).any()


def test_samples_are_standard_normal() -> None:
    many = torch.rand(200, 1, 2, 2, generator=torch.Generator().manual_seed(2))
    noise = noise_of(many, 100, 0)
    assert noise.shape == (200, 100)
    assert noise.dtype == torch.float32
    assert noise.mean().item() == pytest.approx(0, abs=0.03)  # four standard errors of 20,000 draws
    assert noise.var().item() == pytest.approx(1, abs=0.04)
    assert noise.mean(0).abs().max() < 0.4  # no latent dimension is off, nor any image
    assert noise.mean(1).abs().max() < 0.5


def test_sample_is_drawn_from_the_posterior(images: Tensor) -> None:
    vae, sampled = ToyVAE(), scoring(latent="sample", seed=3)
    with torch.no_grad():
        mean, logvar = vae.encode(images)
        expected = vae.decode(mean + (0.5 * logvar).exp() * noise_of(images, vae.latent, sampled.samples_seed))
    torch.testing.assert_close(sampled(vae, images).reconstructions, expected)


def fitted(normals: np.ndarray, seed: int = 0) -> TrivialScores:
    return TrivialScores().fit(len(normals), lambda indices: normals[indices], seed)


@pytest.fixture
def normals() -> np.ndarray:
    """Fifty normal images with a few directions of variation and some noise, ``(50, 2, 4, 4)``."""
    generator = np.random.default_rng(0)
    directions = generator.normal(size=(3, 32))
    flat = 0.5 + generator.normal(size=(50, 3)) @ directions + 0.1 * generator.normal(size=(50, 32))
    return flat.reshape(50, 2, 4, 4).astype(np.float32)


def test_trivial_scores_are_their_closed_forms(normals: np.ndarray) -> None:
    new = np.random.default_rng(1).normal(size=(7, 2, 4, 4)).astype(np.float32)
    scores = fitted(normals).score(new)
    flat, known = new.reshape(7, -1), normals.reshape(50, -1)
    assert tuple(scores) == NAMES
    np.testing.assert_allclose(scores["mean intensity"], np.abs(flat.mean(1) - known.mean()), rtol=1e-4, atol=1e-6)
    found, usual = (sum(np.abs(np.diff(one, axis=axis)).mean((1, 2, 3)) for axis in (2, 3)) for one in (new, normals))
    np.testing.assert_allclose(scores["detail"], np.abs(found - usual.mean()) / 2, rtol=1e-4, atol=1e-6)
    z = (flat - known.mean(0)) / known.std(0)
    np.testing.assert_allclose(scores["per-pixel z-map"], np.abs(z).mean(1), rtol=1e-4)
    pca = PCA(min(COMPONENTS, 32)).fit(known)
    residual = flat - pca.inverse_transform(pca.transform(flat))
    np.testing.assert_allclose(scores["PCA residual"], (residual**2).mean(1), rtol=1e-3, atol=1e-5)


def test_the_mean_image_scores_nothing_and_a_bright_pixel_something(normals: np.ndarray) -> None:
    trivial = fitted(normals)
    mean = normals.mean(0, keepdims=True)
    for name, value in trivial.score(mean).items():
        if name != "detail":  # of which a mean has less than what it is the mean of
            np.testing.assert_allclose(value, 0, atol=1e-6)
    odd = mean.copy()
    odd[0, 0, 1, 2] += 8
    assert all(value > 0.01 for value in trivial.score(odd).values())


def test_still_pixels_do_not_turn_noise_into_anomalies(normals: np.ndarray) -> None:
    normals[:, 0] = 0.5
    normals[:, 1] = np.random.default_rng(0).normal(size=normals[:, 1].shape)
    new = normals.mean(0, keepdims=True)
    new[:, 0] += 0.01
    typical = np.median(normals.reshape(50, -1).std(0))
    z = fitted(normals).score(new)["per-pixel z-map"][0]
    assert z == pytest.approx(0.5 * 0.01 / (LEAST_DEVIATION * typical), rel=1e-3)


@pytest.mark.parametrize("count", [1, 2, 10])
def test_few_or_equal_normals(count: int) -> None:
    images = np.full((count, 1, 4, 4), 0.25, np.float32)
    changed = images + 0.5
    changed[..., 0] += 0.5
    scores = fitted(images).score(np.concatenate([images, changed]))
    assert all(np.isfinite(values).all() for values in scores.values())
    assert all((values[:count] == 0).all() and (values[count:] > 0).all() for values in scores.values())


def test_trivial_scores_come_back_from_their_arrays(normals: np.ndarray) -> None:
    trivial = fitted(normals)
    arrays = {name: array.copy() for name, array in trivial.arrays().items()}
    again = TrivialScores().load_arrays(arrays)
    for name, values in trivial.score(normals[:9]).items():
        np.testing.assert_array_equal(again.score(normals[:9])[name], values)


def test_many_normals_are_drawn_from_with_the_seed() -> None:
    asked: list[np.ndarray] = []

    def images(indices: np.ndarray) -> np.ndarray:
        asked.append(indices)
        return np.random.default_rng(0).random((len(indices), 1, 2, 2), np.float32)

    for seed in (0, 0, 1):
        TrivialScores().fit(PCA_IMAGES + 500, images, seed)
    first, again, other = asked
    assert len(set(first.tolist())) == PCA_IMAGES
    assert np.array_equal(first, again)
    assert not np.array_equal(first, other)
    assert first.max() >= PCA_IMAGES  # from all of them, not from the first ones


@dataclass
class Small:
    """A fitted preparation to 8×8 grey, an untrained network for it, 67 pictures and the trivial scores."""

    preparation: Preparation
    network: VariationalAutoencoder
    pictures: Pictures
    trivial: TrivialScores

    def inference(self, score: str) -> Inference:
        return Inference(
            self.network, scoring(score), Postprocessing("none", 3, 0.0, 0), self.preparation, self.trivial, "cpu"
        )


@pytest.fixture
def small() -> Small:
    recipe = get_recipe("conv-vae").with_options(
        {"preparation.image_size": 8, "network.latent": 3, "network.widths": [2, 3]}
    )
    generator = np.random.default_rng(0)
    cases = Cases(Case(str(i), pixels=generator.integers(0, 256, (8, 8), np.uint8)) for i in range(BATCH + 3))
    preparation = recipe.build("preparation")
    pictures = preparation.fit(cases)
    trivial = TrivialScores().fit(4, lambda rows: preparation.tensors(pictures.batch(rows)).numpy(), 0)
    torch.manual_seed(0)
    network = recipe.build("network", in_channels=1, image_size=8)
    network(preparation.tensors(pictures.batch(range(20))))  # batch norm has seen something
    return Small(preparation, network.eval(), pictures, trivial)


@pytest.mark.parametrize("score", SCORES)
def test_many_pictures_are_scored_as_one_by_one(small: Small, score: str) -> None:
    inference = small.inference(score)
    result = inference.run(small.pictures)
    assert tuple(result.scores) == (score, *(name for name in SCORES if name != score), *NAMES)
    assert result.maps["squared-error"].shape == (BATCH + 3, 8, 8)
    latents = inference.latents(small.pictures)
    assert latents.shape == (BATCH + 3, 3)
    np.testing.assert_allclose(inference.deciding_score(small.pictures), result.scores[score], rtol=1e-6)
    for row in (0, BATCH - 1, BATCH, BATCH + 2):
        images = small.preparation.tensors(small.pictures.batch([row]))
        alone = scoring(score)(small.network, images)
        np.testing.assert_allclose(result.maps["squared-error"][row], alone.maps["squared-error"][0], atol=1e-5)
        expected = {name: values.item() for name, values in alone.scores.items()}
        expected |= {name: values.item() for name, values in small.trivial.score(images.numpy()).items()}
        found = {name: values[row] for name, values in result.scores.items()}
        assert found == pytest.approx(expected, rel=1e-4, abs=1e-6)
        np.testing.assert_allclose(latents[row], scoring().latents(small.network, images)[0], atol=1e-5)


def test_inference_gives_the_same_again_and_leaves_the_network_as_it_is(small: Small) -> None:
    before = {name: value.clone() for name, value in small.network.train().state_dict().items()}
    threads = torch.get_num_threads()
    first, second = (small.inference("elbo").run(small.pictures) for _ in range(2))
    np.testing.assert_array_equal(first.maps["squared-error"], second.maps["squared-error"])
    for name, values in first.scores.items():
        np.testing.assert_array_equal(second.scores[name], values)
    assert small.network.training
    assert torch.get_num_threads() == threads
    after = small.network.state_dict()
    assert all(torch.equal(after[name], value) for name, value in before.items())
    assert set(after) == set(before)


def test_inference_of_nothing_and_of_a_few(small: Small) -> None:
    inference, none = small.inference("mse"), small.pictures.subset([])
    assert {values.shape for values in inference.run(none).scores.values()} == {(0,)}
    assert inference.latents(none).shape == (0, 3)
    prepared, reconstructions = inference.pictures(small.pictures.subset([3, 1]))
    torch.testing.assert_close(prepared, small.preparation.tensors(small.pictures.batch([3, 1])))
    expected = scoring()(small.network, prepared).reconstructions
    torch.testing.assert_close(reconstructions, expected, atol=1e-5, rtol=1e-5)


def behind(array: np.ndarray) -> object:
    """What holds the values of an array."""
    while isinstance(array, np.ndarray) and array.base is not None:
        array = array.base
    return array.obj if isinstance(array, memoryview) else array


@pytest.mark.parametrize("median", ["none", "2d"])
def test_maps_beyond_the_limit_are_the_same_in_files_that_go_with_them(
    small: Small, monkeypatch: pytest.MonkeyPatch, median: str
) -> None:
    inference = small.inference("mse")
    inference.postprocessing = Postprocessing(median)
    expected = inference.run(small.pictures, all_maps=True)
    before = set(cache_folder().rglob("*"))
    size = sum(maps.nbytes for maps in expected.maps.values())
    monkeypatch.setattr(inference_module, "LARGEST_IN_MEMORY", size)
    within = inference.run(small.pictures, all_maps=True)
    assert not any(isinstance(behind(maps), mmap.mmap) for maps in within.maps.values())
    monkeypatch.setattr(inference_module, "LARGEST_IN_MEMORY", size - 1)
    found = inference.run(small.pictures, all_maps=True)
    assert list(found.maps) == list(expected.maps)
    for name, maps in found.maps.items():
        assert isinstance(behind(maps), mmap.mmap)
        np.testing.assert_array_equal(maps, expected.maps[name])
        np.testing.assert_array_equal(maps[[5, 2]], expected.maps[name][[5, 2]])
    for name, scores in found.scores.items():
        np.testing.assert_array_equal(scores, expected.scores[name])
    assert found.map_scores.keys() == expected.map_scores.keys()
    for name, of_map in found.map_scores.items():
        for score, values in of_map.items():
            np.testing.assert_array_equal(values, expected.map_scores[name][score])
    assert set(cache_folder().rglob("*")) == before
    files = [weakref.ref(behind(maps)) for maps in found.maps.values()]
    del found, maps
    gc.collect()
    assert not any(file() for file in files)
