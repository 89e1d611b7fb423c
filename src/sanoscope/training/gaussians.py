"""PaDiM: a Gaussian of features at every place of the image; Defard et al., arXiv:2011.08785."""

from __future__ import annotations

import torch
from torch import Tensor

from sanoscope.errors import TrainingError
from sanoscope.networks.embedding import Embedding
from sanoscope.training.frozen_features import FrozenFeatureTraining, passes
from sanoscope.training.kept_features import PreparedPictures

# Matrices that are factorised at a time, which bounds what that takes beside their sums.
TOGETHER = 256


class GaussianTraining(FrozenFeatureTraining):
    """Fit mean and covariance of some channels at every place, in one pass.

    Learned are ``channels`` ``(d,)``, which were drawn at random; ``means`` ``(P, d)``, of the places row by row; and
    ``whitening`` ``(P, d, d)``: of a feature's difference from the mean it makes one whose length is the Mahalanobis
    distance. Memory does not grow with the images: while it learns, 8 bytes for each of the P·d² sums.

    Args:
        channels: Channels ``d`` that are drawn; all of them where there are no more.
        regularisation: Added to the variances.
        most_gigabytes: Memory that the sums may take.
    """

    def __init__(self, channels: int, regularisation: float, most_gigabytes: float) -> None:
        self.channels = channels
        self.regularisation = regularisation
        self.most_gigabytes = most_gigabytes

    def learn(self, network: Embedding, images: PreparedPictures, generator: torch.Generator) -> dict[str, Tensor]:
        """See ``FrozenFeatureTraining``.

        Raises:
            TrainingError: If the sums take too much memory.
        """
        channels = torch.randperm(network.latent, generator=generator)[: self.channels].sort().values
        sums, products = torch.empty(0), torch.empty(0)
        for number, batch in enumerate(passes(images)):
            features = network.places(batch)[:, channels.to(batch.device)].flatten(2).double()  # (B, d, P)
            if not number:
                places = features.shape[2]
                self._check_memory(places, len(channels))
                sums = features.new_zeros(places, len(channels))
                products = features.new_zeros(places, len(channels), len(channels))
            sums += features.sum(0).T
            products.baddbmm_(features.permute(2, 1, 0), features.permute(2, 0, 1))
        means, whitening = whitened(sums, products, len(images), self.regularisation)
        return {"channels": channels.to(means.device), "means": means, "whitening": whitening}

    def _check_memory(self, places: int, channels: int) -> None:
        gigabytes = places * channels**2 * 8 / 1e9
        if gigabytes > self.most_gigabytes:
            raise TrainingError(
                f"covariances of {channels} channels at {places} places take {gigabytes:.1f} GB; set fewer "
                "training.channels, deeper network.layers, a smaller preparation.image_size, or a larger "
                f"training.most_gigabytes than {self.most_gigabytes:g}"
            )


def whitened(sums: Tensor, products: Tensor, count: int, regularisation: float) -> tuple[Tensor, Tensor]:
    """Gaussians from sums over features, float32.

    Args:
        sums: ``(P, d)`` float64.
        products: ``(P, d, d)`` float64, of outer products; it is overwritten.
        count: How many features each sum is of, at least 2.
        regularisation: Added to the variances.

    Returns:
        Means ``(P, d)``, and the inverses ``(P, d, d)`` of the covariances' lower Cholesky factors.
    """
    means = sums / count
    identity = torch.eye(means.shape[1], dtype=means.dtype, device=means.device)
    whitening = torch.empty(products.shape, device=means.device)
    for some, mean, factors in zip(*(one.split(TOGETHER) for one in (products, means, whitening)), strict=True):
        some.sub_(count * mean[:, :, None] * mean[:, None]).div_(count - 1).add_(regularisation * identity)
        factors.copy_(torch.linalg.solve_triangular(torch.linalg.cholesky(some), identity, upper=False))
    return means.float(), whitening
