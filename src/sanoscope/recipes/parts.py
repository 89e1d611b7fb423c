"""The parts that many recipes share, with defaults that a recipe overrides where its paper says otherwise."""

from __future__ import annotations

from sanoscope.recipe import Option, Part

DATA = Part(
    "sanoscope.cases.selection:TrainingSelection",
    {
        "fraction": Option(1.0, "share of the training normals that is used", "all there is", minimum=0),
        "include_abnormal": Option(
            False, "train on abnormal images too", "the method learns from normals; one published notebook used both"
        ),
        "holdout": Option(
            0.1,
            "share of the training normals held out for the threshold where no validation cases are given",
            "the paper's share",
            minimum=0,
        ),
    },
)

PREPARATION = Part(
    "sanoscope.preparation.preparation:Preparation",
    {
        "image_size": Option(
            64, "height and width that the network sees, in pixels", "two cores can train at it", minimum=8
        ),
        "interpolation": Option(
            "bicubic", "how images are resized", "keeps edges", choices=("bicubic", "bilinear", "area")
        ),
        "channels": Option(
            "native",
            "channels as in the files, or made grey or RGB",
            "nothing is lost",
            choices=("native", "grey", "rgb"),
        ),
        "foreground": Option(
            "none",
            "what counts as body or tissue: everything, pixels above zero, or above/below Otsu's threshold",
            "tissue patches are all foreground",
            choices=("none", "nonzero", "bright", "dark"),
        ),
        "crop": Option(
            "none",
            "which part of the image is used",
            "nothing is lost",
            choices=("none", "centre", "square", "foreground"),
        ),
        "crop_size": Option(
            0, "side of the centre crop, in pixels of the file", "needed with crop=centre only", minimum=0
        ),
        "intensity": Option(
            "symmetric",
            "[0, 1], [-1, 1], zero mean and unit variance, or [0, 1] between two percentiles",
            "outputs end in Tanh",
            choices=("unit", "symmetric", "z-score", "percentiles"),
        ),
        "statistics": Option(
            "training",
            "z-score and percentiles of all training normals, or of each image",
            "keeps how bright an image is",
            choices=("training", "image"),
        ),
        "percentiles": Option((1.0, 99.0), "lower and upper percentile", "robust to single hot pixels", minimum=0),
        "clip": Option(0.0, "limit of prepared values; 0 is off", "values out of range are findings too", minimum=0),
    },
)

TRAINING = Part(
    "sanoscope.training.plain:PlainTraining",
    {
        "epochs": Option(50, "passes over the training normals", "enough for small collections", minimum=1),
        "batch_size": Option(100, "images in a step", "fills the arithmetic units of a CPU", minimum=2),
        "optimizer": Option("adamw", "update rule", "the customary one", choices=("adamw", "adam")),
        "learning_rate": Option(1e-3, "step size, constant", "the customary one of Adam", minimum=0),
        "weight_decay": Option(1e-4, "of the optimiser", "hardly any", minimum=0),
        "fresh_optimizer_at": Option(
            0, "epoch that starts with forgotten moments; 0 is never", "one optimiser throughout", minimum=0
        ),
        "early_stopping": Option(
            0,
            "epochs without a better validation loss before stopping; 0 trains to the end",
            "the papers keep the last epoch's weights",
            minimum=0,
        ),
        "precision": Option(
            "auto",
            "auto takes bfloat16 where the processor has units for it",
            "about 1.5 times as fast; see the benchmarks",
            choices=("auto", "float32", "bfloat16"),
        ),
        "compile": Option(False, "compile the forward pass", "takes a minute, so only long trainings gain"),
    },
)

DECISION = Part(
    "sanoscope.decision:fit_decision",
    {
        "rule": Option(
            "auto",
            "Youden's J where validation has both labels, else a quantile of its normals",
            "the histopathology paper's rule where it can be had",
            choices=("auto", "youden", "quantile"),
        ),
        "target_false_positive_rate": Option(
            0.05, "share of normals that the quantile may call abnormal", "the customary level", minimum=0
        ),
    },
)

RECONSTRUCTION_SCORING = Part(
    "sanoscope.scoring.reconstruction:ReconstructionScoring",
    {
        "score": Option(
            "mse", "the score that decides", "sees where pixels differ", choices=("wasserstein", "mse", "elbo", "kl")
        ),
        "also": Option("all", "other scores computed beside it", "they cost little", choices=("all", "none")),
        "latent": Option(
            "mean", "posterior mean, or a seeded sample of it", "no noise in the score", choices=("mean", "sample")
        ),
        "samples_seed": Option(0, "seed of the sampled latents", "any would do", minimum=0),
        "precision": Option(
            "float32",
            "arithmetic of scoring; auto takes bfloat16 where the processor has units for it",
            "the same scores on every machine; bfloat16 moves them by up to 2 %",
            choices=("auto", "float32", "bfloat16"),
        ),
    },
)
