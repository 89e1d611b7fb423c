"""Features of a frozen network: of whole images and of places, and what is remembered of them."""

from __future__ import annotations

import pytest
import torch

from frozen_features import SIZE, TINY, batch, network
from sanoscope.errors import OptionError
from sanoscope.networks.embedding import Embedding


def test_features_of_an_image_are_the_means_over_its_places() -> None:
    embedding, images = network("deep-knn"), batch()
    features, logvar = embedding.encode(images)
    found = embedding.trunk.raw(images, embedding.layers)
    expected = torch.cat([found["r11"].mean((2, 3)), found["r21"].mean((2, 3))], dim=1)
    torch.testing.assert_close(features, expected)
    assert logvar is None
    assert embedding.latent == features.shape[1] == 64 + 128


def test_features_of_places_lie_on_the_grid_of_the_largest_layer() -> None:
    embedding, images = network("deep-knn"), batch()
    places = embedding.places(images)
    found = embedding.trunk.raw(images, embedding.layers)
    assert places.shape == (4, 64 + 128, SIZE, SIZE)
    torch.testing.assert_close(places[:, :64], found["r11"])
    # In the middle of four coarse places there is a fine one with 9/16 of the nearest, as bilinear weights have it.
    coarse = found["r21"][:, :, 2:4, 2:4]
    weights = torch.tensor([[9.0, 3.0], [3.0, 1.0]]) / 16
    torch.testing.assert_close(places[:, 64:, 5, 5], (coarse * weights).sum((2, 3)))


def test_a_neighbourhood_is_averaged_over() -> None:
    embedding, images = network("deep-knn", {"network.layers": ("r11",)}), batch()
    each, averaged = embedding.places(images), embedding.places(images, 3)
    torch.testing.assert_close(averaged[:, :, 4, 6], each[:, :, 3:6, 5:8].mean((2, 3)))


def test_features_of_a_place_do_not_depend_on_the_arithmetic_of_the_rest() -> None:
    embedding, images = network("deep-knn"), batch()
    with torch.autocast("cpu", torch.bfloat16):
        assert embedding.places(images, 3).dtype == embedding.encode(images)[0].dtype == torch.float32


def test_levels_are_layers() -> None:
    assert network("deep-knn", {"network.layers": ("level2",)}).layers == ("r21",)


def test_unknown_layers_are_refused() -> None:
    with pytest.raises(OptionError, match=r"network\.layers=r99"):
        network("deep-knn", {"network.layers": ("r99",)})


def test_its_state_holds_what_it_remembers_whatever_size_that_is() -> None:
    embedding = network("padim")
    assert not embedding.memory.learned
    learned = {"channels": torch.arange(3), "means": torch.rand(5, 3), "whitening": torch.rand(5, 3, 3)}
    embedding.memory.keep(**learned)
    settings = {name.removeprefix("network."): value for name, value in TINY.items() if name.startswith("network.")}
    other = Embedding(3, SIZE, weights=None, remembered=tuple(learned), **settings)
    other.load_state_dict(embedding.state_dict())
    assert other.memory.learned
    for name, tensor in learned.items():
        torch.testing.assert_close(other.memory.get_buffer(name), tensor, rtol=0, atol=0)
    torch.testing.assert_close(other.encode(batch())[0], embedding.encode(batch())[0], rtol=0, atol=0)
