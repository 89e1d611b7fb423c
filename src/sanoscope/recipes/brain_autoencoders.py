"""Rivals whose map is the residual of an autoencoder: plain, with hidden parts, and Bayesian."""

from __future__ import annotations

from sanoscope.recipe import Option
from sanoscope.recipes.brain import CODE, STATED
from sanoscope.recipes.rivals import (
    DETERMINISTIC,
    ELBO,
    LIGHT_STEPS,
    MEANS,
    PLAIN,
    VARIATIONAL,
    residual_scoring,
    rival,
)

BAUR = "Baur, Denner, Wiestler, Navab, Albarqouni: Autoencoders for unsupervised anomaly segmentation in brain MR"
ZIMMERER = "Zimmerer et al.: Context-encoding variational autoencoder for unsupervised anomaly detection"
PAWLOWSKI = "Pawlowski et al.: Unsupervised lesion detection in brain CT using Bayesian convolutional autoencoders"


def _passes(samples: int, source: str) -> dict[str, Option]:
    return {
        "samples": Option(
            samples, "stochastic passes whose residuals are averaged; 0 is one by the mean", source, minimum=0
        ),
        "samples_seed": Option(0, "seed of these passes", "any would do", minimum=0),
    }


AUTOENCODER = rival(
    "autoencoder", "Autoencoder", BAUR, DETERMINISTIC, PLAIN, LIGHT_STEPS, residual_scoring(variational=False)
)
VAE = rival(
    "vae",
    "Variational autoencoder",
    BAUR,
    VARIATIONAL,
    ELBO,
    LIGHT_STEPS,
    residual_scoring(variational=True, **_passes(0, "no noise in the map; the released code has one sample")),
    MEANS,
    notes=("With objective.reduction=mean, as published, the posterior collapses to one mean image.",),
)

_OCCLUSION = Option(
    "released",
    "what hides part of a training image: one square anywhere, one to three squares of 20 of 128 pixels in the brain's "
    "box, or up to three squares of any size and brightness with half of the loss of the image itself",
    f"{CODE}; the large comparison study and the method's own paper have the others",
    choices=("released", "comparison", "original"),
)
_CONTEXT = LIGHT_STEPS.extended("sanoscope.training.context:ContextTraining", occlusion=_OCCLUSION)
CONTEXT_AUTOENCODER = rival(
    "context-autoencoder",
    "Context autoencoder",
    ZIMMERER,
    DETERMINISTIC,
    PLAIN,
    _CONTEXT,
    residual_scoring(variational=False),
)
CONTEXT_VAE = rival(
    "context-vae",
    "Context variational autoencoder",
    ZIMMERER,
    VARIATIONAL,
    ELBO,
    _CONTEXT,
    residual_scoring(variational=True),
    MEANS,
)

_HUNDRED = _passes(100, STATED)
BAYESIAN_AUTOENCODER = rival(
    "bayesian-autoencoder",
    "Bayesian autoencoder",
    PAWLOWSKI,
    DETERMINISTIC.extended(dropout=Option(0.2, "probability of a latent's dropout", CODE, minimum=0)),
    PLAIN,
    LIGHT_STEPS,
    residual_scoring(variational=False, **_HUNDRED),
    notes=("Latents are dropped out, as in the released code; the method's own paper does so inside the network.",),
)
BAYESIAN_VAE = rival(
    "bayesian-vae",
    "Bayesian variational autoencoder",
    PAWLOWSKI,
    VARIATIONAL,
    ELBO,
    LIGHT_STEPS,
    residual_scoring(variational=True, **_HUNDRED),
    MEANS,
)

RECIPES = (AUTOENCODER, VAE, CONTEXT_AUTOENCODER, CONTEXT_VAE, BAYESIAN_AUTOENCODER, BAYESIAN_VAE)
