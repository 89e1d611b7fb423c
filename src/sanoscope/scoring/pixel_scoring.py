"""Zhou, Deng, Wu: Unsupervised anomaly localization using VAE and beta-VAE (maps and scores of an image)."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import replace

import numpy as np
import torch
from torch import Tensor

from sanoscope.errors import ModelError, OptionError
from sanoscope.networks.autoencoder import VAEOutput, VariationalAutoencoder
from sanoscope.objectives.elbo import LOGVAR_RANGE, gaussian_kl
from sanoscope.objectives.gaussian_elbo import gaussian_nll, half_squared_error
from sanoscope.scoring.predictors import ENSEMBLE, PREDICTORS, predictor_maps, signed_gradients
from sanoscope.scoring.projection import Projection
from sanoscope.scoring.scored import Scored, Scoring, deciding_first, inside_only, map_score

PROJECTED = "proj-rec-error"
MAPS = (*PREDICTORS, PROJECTED)
SCORES = ("map-max", "map-mean", "elbo", "kl", "mse")
# Under which the training normals' mean of Σ ½ (x − x̂)² is kept.
NORMAL_ERROR = "half_squared_error"


class PixelScoring(Scoring):
    """Maps from a VAE's loss and its gradients with respect to the image, and scores of the image.

    Maps: see ``PREDICTORS``, and ``proj-rec-error``, the squared change of an image by ``Projection``.
    Scores: ``map-max`` and ``map-mean`` of the deciding map; ``elbo``, the training's loss; its ``kl``; the ``mse``.

    Args:
        map: The map that decides.
        score: The score that decides.
        also: ``all`` other scores and maps beside them but the projection, which takes many passes; or ``none``.
        smoothing: ``gaussian`` smooths absolute gradients, ``none`` leaves them.
        inside: Maps of ``all`` the image, or of the ``foreground`` alone, 0 elsewhere.
        ensemble_weights: Of rec-error, kl-grad and rec-grad in ``ensemble``, such as ``fit_ensemble`` gives.
        projection_weight: See ``Projection``, as the next three.
        projection_steps: The most steps.
        projection_rate: Adam's step size.
        projection_mask: Multiply the gradient by the squared error.
        projection_score: Difference of the image to the ``projected`` one, or to what that is ``reconstructed`` as.
        projection_stop: ``training-mean`` stops an image that is reconstructed as well as training normals are on
            average, so that its map is 0 throughout where it is so from the start; ``none`` takes every step.
        precision: ``float32``, ``bfloat16`` or ``auto``.
        beta: Weight of the KL term; the training's.

    Raises:
        OptionError: If a name is unknown, or the ensemble's weights are not three.
    """

    def __init__(
        self,
        map: str,  # the option's natural name
        score: str,
        also: str,
        smoothing: str,
        inside: str,
        ensemble_weights: tuple[float, ...],
        projection_weight: float,
        projection_steps: int,
        projection_rate: float,
        projection_mask: bool,
        projection_score: str,
        projection_stop: str,
        precision: str,
        beta: float,
    ) -> None:
        if len(ensemble_weights) != len(ENSEMBLE):
            raise OptionError(
                f"scoring.ensemble_weights takes {len(ENSEMBLE)} numbers, for {', '.join(ENSEMBLE)}; "
                f"not {list(ensemble_weights)}"
            )
        self.map_names = deciding_first("map", map, MAPS, tuple(PREDICTORS) if also == "all" else ())
        super().__init__(deciding_first("score", score, SCORES, SCORES if also == "all" else ()), precision)
        self.smoothing = smoothing == "gaussian"
        self.foreground_only = inside == "foreground"
        self.ensemble_weights = ensemble_weights
        self.projection = Projection(projection_weight, projection_steps, projection_rate, projection_mask)
        self.projection_score = projection_score
        self.projection_stop = projection_stop
        self.beta = beta

    def learn(
        self, network: VariationalAutoencoder, batches: Iterable[tuple[Tensor, Tensor | None]]
    ) -> dict[str, np.ndarray]:
        """Find out how well training normals are reconstructed; see ``Scoring.learn``.

        Whichever map decides, so that a fitted model can be told to project.
        """
        errors = [half_squared_error(images, _passed(network, images)).flatten(1).sum(1) for images, _ in batches]
        self.learned = {NORMAL_ERROR: np.array([torch.cat(errors).mean().item()])}
        return self.learned

    def __call__(self, network: VariationalAutoencoder, images: Tensor, inside: Tensor | None = None) -> Scored:
        """Score images ``(B, C, H, W)``; see ``Scoring``."""
        inside = self.looked_at(inside)
        output, maps = self._look(network, images, inside, self.map_names)
        scores = {name: self._score(name, images, inside, output, maps) for name in self.names}
        return Scored(scores, maps, output.reconstruction)

    def looked_at(self, inside: Tensor | None) -> Tensor | None:
        """See ``Scoring.looked_at``."""
        return inside if self.foreground_only else None

    def deciding(self, network: VariationalAutoencoder, images: Tensor, inside: Tensor | None = None) -> Tensor:
        """The deciding score alone, ``(B,)``, with no pass that it does not need."""
        score = self.names[0]
        inside = self.looked_at(inside)
        output, maps = self._look(network, images, inside, self.map_names[:1] if score.startswith("map-") else ())
        return self._score(score, images, inside, output, maps)

    def _look(
        self, network: VariationalAutoencoder, images: Tensor, inside: Tensor | None, names: tuple[str, ...]
    ) -> tuple[VAEOutput, dict[str, Tensor]]:
        """The pass through the network, and the maps of these names."""
        predictors = [name for name in names if name != PROJECTED]
        losses = {loss for name in predictors for loss in PREDICTORS[name]}
        output, gradients = signed_gradients(network, images, losses, self.beta)
        maps = predictor_maps(
            predictors, images, output.reconstruction, gradients, self.ensemble_weights, self.smoothing
        )
        if PROJECTED in names:
            maps[PROJECTED] = self._projected(network, images)
        return output, {name: inside_only(maps[name], inside) for name in names}

    def _projected(self, network: VariationalAutoencoder, images: Tensor) -> Tensor:
        """How far the projection moves each pixel, squared, ``(B, H, W)``."""
        projection = self.projection
        if self.projection_stop == "training-mean":
            if NORMAL_ERROR not in self.learned:
                raise ModelError(
                    "scoring.projection_stop=training-mean needs what fitting learned of the training normals; "
                    "fit again, or set it to none"
                )
            projection = replace(projection, stop=self.learned[NORMAL_ERROR].item())
        normal = projection(network, images)
        if self.projection_score == "reconstructed":
            normal = _passed(network, normal)
        return (images - normal).square().sum(1)

    def _score(
        self, name: str, images: Tensor, inside: Tensor | None, output: VAEOutput, maps: dict[str, Tensor]
    ) -> Tensor:
        if name == "mse":
            return 2 * half_squared_error(images, output.reconstruction).flatten(1).mean(1)
        if name in ("elbo", "kl"):
            kl = gaussian_kl(output.mean, output.logvar.clamp(*LOGVAR_RANGE))
            return kl if name == "kl" else gaussian_nll(images, output.reconstruction) + self.beta * kl
        return map_score(name, maps[self.map_names[0]], inside)


def _passed(network: VariationalAutoencoder, images: Tensor) -> Tensor:
    """Images through the network, by the posterior mean, without any gradient."""
    with torch.no_grad():
        return network.decode(network.encode(images)[0]).to(images.dtype)
