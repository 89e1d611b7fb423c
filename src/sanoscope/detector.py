"""The detector: a recipe brought to life, with the habits of scikit-learn and PyOD."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any, Self

import numpy as np

from sanoscope import detector_folder, fitting
from sanoscope.calibration import build_postprocessing, build_scoring, calibrate, fit_decisions, scoring_notes
from sanoscope.cases import fingerprint
from sanoscope.cases.case import Cases
from sanoscope.cases.load import read_cases
from sanoscope.console import say
from sanoscope.errors import DataError, ImageError, ModelError, OptionError
from sanoscope.findings import Findings
from sanoscope.fit_record import fit_record, run_record, unreadable_notes
from sanoscope.preparation.pictures import Pictures
from sanoscope.preparation.preparation import Preparation
from sanoscope.provenance import environment
from sanoscope.recipe import ADJUSTABLE, Recipe
from sanoscope.recipes import get_recipe
from sanoscope.scoring.inference import Inference
from sanoscope.scoring.trivial import NAMES as TRIVIAL
from sanoscope.scoring.trivial import TrivialScores
from sanoscope.showing import Showing
from sanoscope.training import parallel
from sanoscope.training.devices import choose_device, mixed_precision
from sanoscope.training.plain import Surroundings
from sanoscope.training.processes import Processes
from sanoscope.training.run_record import begin_run

# Of so many training normals scoring learns, which bounds its time and memory.
LEARNED_IMAGES = 1000


class Detector:
    """A recipe that can be fitted to normal images, and then judges others.

    ```python
    detector = Detector("conv-vae").fit(cases.train)
    findings = detector.score(cases.test)
    ```

    Args:
        recipe: Its name, or a recipe with its options set.
        options: Options to set, by dotted name.
        seed: Of everything random: initial weights, order, noise, hold-out.
        device: ``auto``, ``cpu``, ``cuda`` or ``mps``.
        devices: Devices of this kind that train together, each in a process of its own that runs the same program; in
            all but the first ``fit`` ends with the training, and ``fitted`` stays False.
        nodes: Machines with so many devices each.

    Attributes:
        network_: The trained network.
        preparation_: What was learned about pixels.
        scoring_learned_: What scoring learned of training normals.
        calibration_: Scores of held-out cases.
        decisions_: A decision for each score.
        history_: Metrics of each epoch.
        provenance_: Data, versions, seed.
        training_keys_: Content keys of the images it learned from.
    """

    def __init__(
        self,
        recipe: str | Recipe = "conv-vae",
        options: Mapping[str, Any] | None = None,
        *,
        seed: int = 0,
        device: str = "auto",
        devices: int = 1,
        nodes: int = 1,
    ) -> None:
        self.recipe = (get_recipe(recipe) if isinstance(recipe, str) else recipe).with_options(options or {})
        self.seed = seed
        self.device = choose_device(device)
        self.processes = Processes(devices, nodes)
        parallel.require_devices(self.device, self.processes)
        self.fitted = False

    # ---------------------------------------------------------------- fitting

    def fit(
        self,
        cases: Cases | np.ndarray | str | Path,
        validation: Cases | np.ndarray | None = None,
        *,
        folder: str | Path | None = None,
        resume: bool = False,
        quiet: bool = False,
        checkpoint_seconds: float = 30.0,
    ) -> Self:
        """Learn what healthy looks like.

        Args:
            cases: What to learn from: cases, an array ``(N, H, W[, C])``, or a path. Abnormal ones are left out.
                Where they are split into sides, the training side is used, and the validation side for thresholds.
            validation: What thresholds are fitted on; a share of the training images is held out where None.
            folder: Keeps logs and checkpoints there.
            resume: Go on from the checkpoint in ``folder``.
            quiet: Leave out the notes on the data and the progress of the training.
            checkpoint_seconds: Least time between two checkpoints.

        Raises:
            DataError: If the data cannot be used.
            TrainingError: If the loss runs away.
            ModelError: If a resumed run was started with other settings or data.
        """
        fitting.require_sound(self.recipe)
        train, validation = self._sides(cases, validation)
        selected = self.recipe.build("data").choose(train, validation, self.seed)
        self.preparation_: Preparation = self.recipe.build("preparation")
        pictures = self.preparation_.fit(selected.train)
        training = self.preparation_.for_training(pictures)
        held_out = self._held_out(selected.validation)
        self.provenance_ = fit_record(self.recipe, self.seed, self.device, selected, pictures, held_out)
        # Before anything is written, as weights may be missing or sizes not fit.
        self.network_ = fitting.new_network(self.recipe, self.preparation_, self.seed)
        fitting.require_trainable(self.recipe, self.network_, self.processes)
        self.notes_ = [
            *selected.notes,
            *self.preparation_.notes_,
            *unreadable_notes(training, held_out),
            *parallel.notes(self.network_, self.device, self.processes),
        ]
        quiet = quiet or not self.processes.main
        if not quiet:
            for note in self.notes_:
                say(note)
        folder = Path(folder) if folder else None
        if folder and self.processes.main:
            begin_run(folder, run_record(self.recipe, self.seed, self.provenance_), resume)
        surroundings = Surroundings(folder, self.seed, self.device, resume, quiet, checkpoint_seconds, self.processes)
        self.history_, facts = fitting.train(
            self.recipe, self.network_, self.preparation_, training, held_out, surroundings
        )
        if not self.processes.main:
            return self
        self.provenance_["training"] |= facts
        self.trivial_ = TrivialScores().fit(
            len(pictures), lambda rows: self.preparation_.tensors(pictures.batch(rows)).numpy(), self.seed
        )
        self.training_keys_ = frozenset(pictures.keys)
        self.fitted = True
        self._learn_scoring(pictures)
        return self._calibrated(held_out, pictures)

    def _learn_scoring(self, pictures: Pictures) -> None:
        self.scoring_learned_: dict[str, np.ndarray] = {}
        self.scoring_learned_ = self._inference().learn(pictures.evenly(LEARNED_IMAGES))

    def calibrate(self, cases: Cases | np.ndarray | str | Path, validation: Cases | np.ndarray | None = None) -> Self:
        """Find thresholds anew for the options of scoring and post-processing in force; nothing is trained.

        Args:
            cases: What it was fitted on, or other images like these, sides and all; see ``fit``.
            validation: What thresholds are fitted on; the share that fitting would hold out where None.

        Raises:
            DataError: If an image to fit thresholds on is one that it was trained on.
        """
        self._require_fitted()
        selected = self.recipe.build("data").choose(*self._sides(cases, validation), self.seed)
        held_out = self._held_out(selected.validation)
        if seen := sum(key in self.training_keys_ for key in held_out.keys):
            raise DataError(
                f"{seen} of {len(held_out)} images to fit thresholds on are ones that the model was trained on; give "
                "the data that it was fitted on, or a validation side of other images"
            )
        return self._calibrated(held_out, self.preparation_.decode(selected.train))

    def _held_out(self, cases: Cases) -> Pictures:
        held_out = self.preparation_.decode(cases)
        if not len(held_out):
            reason = held_out.unreadable[0].reason
            raise DataError(f"no image of those held out to set the threshold could be read; the first: {reason}")
        return held_out

    def _calibrated(self, held_out: Pictures, train: Pictures) -> Self:
        self.calibration_ = calibrate(self.recipe, self._inference(), held_out, train)
        self.decisions_ = fit_decisions(self.recipe, self.calibration_)
        return self

    # ---------------------------------------------------------------- judging

    @property
    def threshold_(self) -> float:
        """The threshold of the deciding score; above it an image is abnormal."""
        return self.decisions_[self.recipe["scoring.score"]].threshold

    def adjust(self, options: Mapping[str, Any]) -> Self:
        """Set options of scoring or decision on a fitted detector; nothing is trained again.

        Raises:
            OptionError: For an option that is built into the weights, or an unknown one.
        """
        recipe = self.recipe.with_options(options)
        for name in recipe.changes:
            if recipe[name] != self.recipe[name] and not name.startswith(ADJUSTABLE):
                raise OptionError(f"option '{name}' is built into the trained model; set it when fitting")
        if self.fitted:
            self.decisions_ = fit_decisions(recipe, self.calibration_)
        self.recipe = recipe
        return self

    def score(self, cases: Cases | np.ndarray | str | Path, *, maps: bool = True) -> Findings:
        """Judge cases: scores, maps, decisions. What cannot be read is listed with its reason, the rest is scored.

        Args:
            cases: Cases, an array ``(N, H, W[, C])``, or a path, of which all cases are scored.
            maps: Keep a map for each case.

        Raises:
            DataError: If there is no case that can be read.
        """
        self._require_fitted()
        cases = self._as_cases(cases)
        pictures = self.preparation_.decode(cases)
        if not len(pictures):
            reasons = [f"the first: {item.reason}" for item in pictures.unreadable[:1]]
            raise DataError("; ".join([f"{cases.source}: none of {len(cases)} images can be scored", *reasons]))
        evaluable = maps and any(case.mask is not None or case.mask_pixels is not None for case in pictures.cases)
        inference = self._inference()
        showing = Showing(self.recipe, self.preparation_, self.calibration_, inference)
        result = inference.run(pictures, all_maps=evaluable)
        seen = np.array([key in self.training_keys_ for key in pictures.keys], bool)
        notes = [*self.notes_, *cases.notes, *scoring_notes(self.recipe, self.calibration_)]
        if seen.any():
            notes.append(f"{seen.sum()} of the scored images were in the training set: their scores are too low")
        name = self.recipe["scoring.score"]
        calibration = self.calibration_.scores_of(self.recipe)[name]
        findings = Findings(
            cases=pictures.cases,
            score_name=name,
            scores=result.scores,
            trivial=TRIVIAL,
            decisions=self.decisions_,
            calibration=calibration[self.calibration_.labels != 1],
            seen_in_training=seen,
            maps=showing.heatmaps(pictures, result) if maps else None,
            unreadable=[(str(item.case), item.reason) for item in pictures.unreadable],
            recipe=self.recipe.to_json() | {"changed": dict(self.recipe.changes), "notes": list(self.recipe.notes)},
            history=self.history_,
            provenance=self.provenance_ | {"scored": environment(self.device) | {"data": fingerprint(cases)}},
            notes=notes,
        )
        return showing.with_gallery(findings, pictures)

    def decision_function(self, cases: Cases | np.ndarray | str | Path) -> np.ndarray:
        """The deciding score ``(N,)``; higher is more abnormal.

        Raises:
            ImageError: If a case cannot be read; ``score`` lists such cases instead.
        """
        return self._inference().deciding_score(self._all_pictures(cases))

    def predict(self, cases: Cases | np.ndarray | str | Path) -> np.ndarray:
        """1 for abnormal, 0 for normal, ``(N,)``."""
        scores = self.decision_function(cases)
        return self.decisions_[self.recipe["scoring.score"]].decide(scores).astype(np.int64)

    def score_map(self, cases: Cases | np.ndarray | str | Path) -> list[np.ndarray]:
        """A map ``(H, W)`` for each case, on its file's own grid.

        Raises:
            OptionError: If the method does not say where.
        """
        pictures = self._all_pictures(cases)
        inference = self._inference()
        if not inference.scoring.map_names:
            raise OptionError(
                f"recipe '{self.recipe.name}' judges whole images and has no maps; take another, such as patchcore"
            )
        maps = next(iter(inference.run(pictures).maps.values()))
        restore = self.preparation_.geometry.restore
        return [restore(heatmap, trace) for heatmap, trace in zip(maps, pictures.traces, strict=True)]

    def reconstruct(self, cases: Cases | np.ndarray | str | Path) -> tuple[np.ndarray, np.ndarray]:
        """What the network saw and its healthy version of it, ``(N, C, H, W)`` each, in the network's own range.

        Raises:
            OptionError: If the method reconstructs nothing.
        """
        images, reconstructions = self._inference().pictures(self._all_pictures(cases))
        if reconstructions is None:
            raise OptionError(f"recipe '{self.recipe.name}' reconstructs nothing")
        return images.numpy(), reconstructions.numpy()

    def transform(self, cases: Cases | np.ndarray | str | Path) -> np.ndarray:
        """The latents ``(N, L)``: posterior means, or whatever else the network encodes images to."""
        return self._inference().latents(self._all_pictures(cases))

    def encode(self, cases: Cases | np.ndarray | str | Path) -> tuple[Pictures, np.ndarray]:
        """The pictures of all cases that can be read, and their latents ``(N, L)``.

        What cannot be read is listed in the pictures' ``unreadable``; ``transform`` refuses it instead.
        """
        self._require_fitted()
        pictures = self.preparation_.decode(self._as_cases(cases))
        return pictures, self._inference().latents(pictures)

    def _as_cases(self, cases: Cases | np.ndarray | str | Path) -> Cases:
        return cases if isinstance(cases, Cases) else read_cases(cases, slicing=self.recipe.build("data").slicing)

    def _sides(
        self, cases: Cases | np.ndarray | str | Path, validation: Cases | np.ndarray | None
    ) -> tuple[Cases, Cases | None]:
        """Training and validation cases, out of what was given."""
        cases = self._as_cases(cases)
        if validation is not None:
            return cases, self._as_cases(validation)
        if {case.split for case in cases} <= {None, "train"}:
            return cases, None
        return cases.train, cases.validation

    def _all_pictures(self, cases: Cases | np.ndarray | str | Path) -> Pictures:
        self._require_fitted()
        pictures = self.preparation_.decode(self._as_cases(cases))
        if pictures.unreadable:
            number, first = len(pictures.unreadable), pictures.unreadable[0].reason
            raise ImageError(f"{number} images cannot be scored, the first: {first}")
        return pictures

    def _inference(self) -> Inference:
        """The trained network with the recipe's scoring."""
        self._require_fitted()
        scoring = build_scoring(self.recipe, self.scoring_learned_)
        bfloat16 = mixed_precision(scoring.precision, self.device)
        postprocessing = build_postprocessing(self.recipe)
        return Inference(
            self.network_, scoring, postprocessing, self.preparation_, self.trivial_, self.device, bfloat16
        )

    def _require_fitted(self) -> None:
        if not self.fitted:
            raise ModelError("the detector is not fitted yet; call fit, or Detector.load")

    # ---------------------------------------------------------------- keeping

    def save(self, folder: str | Path) -> Path:
        """Write the model as safetensors and JSON, with checksums."""
        self._require_fitted()
        return detector_folder.save_detector(self, Path(folder))

    @classmethod
    def load(cls, folder: str | Path, *, device: str = "auto") -> Detector:
        """Read a saved model; no code of its files is run.

        Raises:
            ModelError: If a file is missing, truncated or altered, or of another version.
        """
        return detector_folder.load_detector(Path(folder), device)
