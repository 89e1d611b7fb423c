"""Rivals that are trained against what judges their images: AnoVAEGAN and f-AnoGAN."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace
from typing import Any

from sanoscope.recipe import Option, Part
from sanoscope.recipes.brain import CODE, STATED, score_option
from sanoscope.recipes.parts import sourced
from sanoscope.recipes.rivals import (
    DETERMINISTIC,
    ELBO,
    LIGHT_STEPS,
    ORIGINAL,
    PLAIN,
    RECONSTRUCTION,
    SUM,
    VARIATIONAL,
    residual_scoring,
    rival,
)

ANOVAEGAN = "Baur, Wiestler, Albarqouni, Navab: Deep autoencoding models for unsupervised anomaly segmentation"
SCHLEGL = "Schlegl et al.: f-AnoGAN: fast unsupervised anomaly detection with generative adversarial networks"


def _with_critic(network: Part, kind: str) -> Part:
    critic = Option(
        kind,
        "what judges images: a discriminator with batch norm, or a Wasserstein critic without",
        "goes with objective.game",
        choices=("discriminator", "wasserstein"),
    )
    return network.extended(critic=critic)


def _against_critic(objective: Part, adversarial: float, features: float, source: str) -> Part:
    return objective.extended(
        "sanoscope.objectives.adversarial:AdversarialELBO",
        game=Option(
            "dcgan", "discriminator of real and fake, or Wasserstein distance", CODE, choices=("dcgan", "wgan-gp")
        ),
        adversarial=Option(adversarial, "weight of what the critic says", source, minimum=0),
        features=Option(features, "weight of the error of the critic's features", source, minimum=0),
        penalty=Option(10.0, "weight of the gradient penalty, for wgan-gp", "its own paper", minimum=0),
    )


_ADVERSARIAL = LIGHT_STEPS.extended(
    "sanoscope.training.adversarial:AdversarialTraining",
    critic_steps=Option(1, "steps of the critic for each of the autoencoder", CODE, minimum=1),
    critic_rate=Option(10.0, "learning rate of the critic, as a multiple of the autoencoder's", CODE, minimum=0),
    betas=Option((0.9, 0.999), "decays of the optimisers' moments", CODE, minimum=0),
    detach=Option(
        True,
        "keep the critic's loss from the autoencoder, whose gradients it would be added to",
        "the released code forgets to",
    ),
)
# What the training in two stages does without.
_NOT_IN_STAGES = ("detach", "early_stopping", "average")
_WASSERSTEIN: Mapping[str, Any] = {
    "network.critic": "wasserstein",
    "objective.game": "wgan-gp",
    "training.critic_steps": 5,
    "training.critic_rate": 1.0,
    "training.betas": (0.5, 0.9),
}
ANOVAEGAN_RECIPE = rival(
    "anovaegan",
    "AnoVAEGAN",
    ANOVAEGAN,
    _with_critic(VARIATIONAL, "discriminator"),
    _against_critic(ELBO, adversarial=1.0, features=0.0, source=STATED),
    _ADVERSARIAL,
    residual_scoring(variational=True),
    presets={"wasserstein": {**_WASSERSTEIN, "objective.reconstruction": "l1"}},
    notes=(
        "The released code lets the discriminator's gradients into the autoencoder and gives the adversarial term a "
        "weight of 0; training.detach=false and objective.adversarial=0 do the same.",
    ),
)


def _features_scoring() -> Part:
    return residual_scoring(variational=False).extended(
        "sanoscope.scoring.feature_matching:FeatureMatchingScoring",
        score=Option(
            "map-mean",
            "the score that decides; f-AnoGAN's own is residual-and-features",
            "the paper scores no images",
            choices=(*score_option(variational=False).choices, "features", "residual-and-features"),
        ),
        features=Option(1.0, "κ, the weight of features in residual-and-features", ORIGINAL, minimum=0),
    )


_MATCHING = Part(
    PLAIN.target,
    {
        "reconstruction": replace(RECONSTRUCTION, default="l2", source=CODE),
        "reduction": replace(SUM, default="mean"),
    },
)
F_ANOGAN = rival(
    "f-anogan",
    "f-AnoGAN, trained jointly",
    SCHLEGL,
    _with_critic(DETERMINISTIC, "discriminator"),
    _against_critic(_MATCHING, adversarial=0.0, features=1.0, source=CODE),
    _ADVERSARIAL,
    _features_scoring(),
    notes=(
        "Encoder, decoder and discriminator at once, as in the table of Silva-Rodríguez et al.; for the generator "
        "first and then the encoder, as published by its authors, take f-anogan-original.",
        "The released code compares the features of a batch's last image only; here it is every image.",
        "On the ResNet-18 take training.learning_rate=1e-4, the paper's: with 1e-3 the squared error may saturate.",
    ),
)

_STAGES = Part(
    "sanoscope.training.two_stage:TwoStageTraining",
    {name: option for name, option in _ADVERSARIAL.options.items() if name not in _NOT_IN_STAGES},
).extended(
    generator_iterations=Option(
        1000,
        "steps of the first stage, generator against critic; all others are the encoder's",
        "half an hour on two cores; the authors train far longer",
        minimum=1,
    ),
    encoder_rate=Option(5e-5, "learning rate of the encoder, by RMSprop", ORIGINAL, minimum=0),
)
F_ANOGAN_ORIGINAL = rival(
    "f-anogan-original",
    "f-AnoGAN, generator first and then the encoder",
    SCHLEGL,
    _with_critic(DETERMINISTIC, "wasserstein").extended(
        bounded=Option(True, "bound latents by tanh", f"{ORIGINAL}; its code's default has none")
    ),
    sourced(_against_critic(_MATCHING, adversarial=0.0, features=1.0, source=ORIGINAL), ORIGINAL, game="wgan-gp"),
    sourced(
        sourced(
            _STAGES, ORIGINAL, critic_steps=5, critic_rate=1.0, betas=(0.0, 0.9), batch_size=64, learning_rate=1e-4
        ),
        "as many steps of the encoder; the authors take 50,000",
        max_iterations=2000,
    ),
    _features_scoring(),
    {"training.max_iterations": 0, "training.generator_iterations": 1200, "training.batch_size": 64},
    notes=(
        "Generator and critic are those of the backbone; the authors' are residual networks of 64 pixels. A generator "
        "takes thousands of steps to give sharp images: raise both numbers of iterations where time allows.",
    ),
)

RECIPES = (ANOVAEGAN_RECIPE, F_ANOGAN, F_ANOGAN_ORIGINAL)
