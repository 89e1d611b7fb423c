"""What ``sanoscope cluster`` does: from a method or model and images to a folder of groups."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass
from functools import cached_property
from pathlib import Path
from typing import Any

from sanoscope.cases import fingerprint
from sanoscope.cases.case import Cases
from sanoscope.cases.load import read_cases
from sanoscope.cases.split_record import write_split
from sanoscope.clustering.clusterer import ClusterSettings
from sanoscope.console import say
from sanoscope.detector import Detector
from sanoscope.detector_folder import CHECKSUMS_FILE, TRAINING_FOLDER
from sanoscope.errors import ModelError, OptionError
from sanoscope.provenance import digest, environment
from sanoscope.recipe import Recipe
from sanoscope.recipes import RECIPES
from sanoscope.report.clusters_content import MatchTable
from sanoscope.subtypes.analysis import LARGEST_NUMBER, Analysis, analyse, assign, fold_table
from sanoscope.subtypes.classifier import Classifier
from sanoscope.subtypes.encoder_record import MODEL_FOLDER, encoder_of, record_of
from sanoscope.subtypes.encoders import (
    ColourMethod,
    Encoder,
    FittedMethod,
    Method,
    PixelMethod,
    RecipeMethod,
    method_of,
)
from sanoscope.subtypes.folds import cross_validate, splits_of
from sanoscope.subtypes.groups import Groups
from sanoscope.subtypes.groups_folder import CLUSTERS_FILE, clusters_of, write_assignments, write_groups
from sanoscope.subtypes.groups_page import groups_content

FOLDS_FOLDER = "folds"


def fitted_encoder(folder: Path, device: str = "auto") -> tuple[Encoder, Path | None]:
    """The encoder of a folder that a model or clusters were written to, and the folder of its model, if it has one.

    Raises:
        ModelError: If it holds neither.
    """
    if (folder / CLUSTERS_FILE).is_file():
        return encoder_of(clusters_of(folder)[1], folder, device)
    return FittedMethod(Detector.load(folder, device=device)), folder


def read_for(method: Method | Encoder, data: Path, normal: str | None, layout: str | None) -> Cases:
    """All images of a collection, cut into slices as the method has it; sides play no part.

    Raises:
        DataError: If the collection cannot be used.
    """
    recipe = None
    if isinstance(method, FittedMethod):
        recipe = method.detector.recipe
    elif isinstance(method, RecipeMethod):
        recipe = method.recipe
    slicing = recipe.build("data").slicing if recipe else None
    return read_cases(data, normal=normal, layout=layout, slicing=slicing)


@dataclass(frozen=True)
class ClusterRun:
    """A collection to be grouped by one method.

    Args:
        source: A recipe's name, ``pixels`` or ``mean-colour``; the folder of a model; or that of clusters.
        out: Where everything is written.
        settings: How clusters are found.
        choose: Take the number of clusters that is suggested.
        largest: The largest number of clusters that is compared.
        folds: Of a cross-validation; 0 has none.
        by: What folds are made of, ``subject`` or ``image``.
        naming: How clusters are named in folds; see ``clustering.naming``.
        supervised: Compare with a supervised network, in folds.
        preset: Of the recipe.
        options: Of the recipe, or of a model where they take effect after training.
        seed: Of everything random.
        device: As for ``Detector``.
    """

    source: str
    out: Path
    settings: ClusterSettings
    choose: bool = False
    largest: int = LARGEST_NUMBER
    folds: int = 0
    by: str = "subject"
    naming: str = "one-to-one"
    supervised: bool = False
    preset: str | None = None
    options: Mapping[str, Any] | None = None
    seed: int = 0
    device: str = "auto"

    def read(self, data: Path, normal: str | None = None, layout: str | None = None) -> Cases:
        """All images of a collection, cut into slices as the method has it; sides play no part.

        Raises:
            DataError: If the collection cannot be used.
            OptionError: If there is no such method or option.
        """
        cases = read_for(self._fitted[0] if self._fitted else self._method, data, normal, layout)
        for line in (cases.describe(), *cases.notes):
            say(line)
        return cases

    def carry_out(self, cases: Cases) -> tuple[Groups, list[MatchTable], Path]:
        """Train, where there is something to train, group, compare and write.

        Returns:
            The groups, the tables of a cross-validation if there was one, and the path of the page.

        Raises:
            SanoscopeError: If the method cannot be trained, or the images cannot be grouped.
        """
        if self.folds:
            splits_of(cases, self.folds, self.by, self.settings, self.naming, self.seed)
        encoder, model = self._encoder(cases)
        analysis = self._analysis(encoder, cases)
        write_assignments(analysis.groups, self.out)  # now, whatever happens in folds
        say(f"grouped: {len(analysis.groups.cases)} images; assignments are in {self.out}")
        tables = self._tables(encoder, cases, analysis.groups.clustering.settings) if self.folds else []
        content = groups_content(
            analysis.groups,
            f"{encoder.title} on {Path(cases.source).name}",
            self._described(encoder),
            analysis.projections,
            analysis.choice,
            tables,
            self._facts(analysis, cases),
            [*cases.notes, *self._notes(encoder)],
        )
        page = write_groups(analysis.groups, content, record_of(encoder, model, self.out), self.out)
        return analysis.groups, tables, page

    # ---------------------------------------------------------------- the method

    @cached_property
    def _found_before(self) -> Path | None:
        """The folder of clusters that the source is, if it is one."""
        folder = Path(self.source)
        return folder if (folder / CLUSTERS_FILE).is_file() else None

    @cached_property
    def _fitted(self) -> tuple[Encoder, Path | None] | None:
        """The encoder that the source is, if it is one, with the folder of its model."""
        folder = Path(self.source)
        if not folder.is_dir():
            return None
        encoder, model = fitted_encoder(folder, self.device)
        if isinstance(encoder, FittedMethod):
            detector = encoder.detector
            detector.adjust(detector.recipe.preset_options(self.preset) if self.preset else {})
            detector.adjust(self.options or {})
        elif self.options or self.preset:
            raise OptionError(f"{folder}: options cannot be set on clusters of {encoder.name} that were found before")
        return encoder, model

    @cached_property
    def _method(self) -> Method:
        """The method of that name; see ``method_of``."""
        options = dict(self.options or {})
        if self.preset:
            if self.source not in RECIPES:
                raise OptionError(f"'{self.source}' has no presets, only options; leave out '{self.preset}'")
            options = {**RECIPES[self.source].preset_options(self.preset), **options}
        return method_of(self.source, options, self.device)

    def _encoder(self, cases: Cases) -> tuple[Encoder, Path | None]:
        """The encoder, trained if it has to be, and the folder of its model, where it has one."""
        if self._fitted is not None:
            return self._fitted
        every = cases.assign(["train"] * len(cases))
        method = self._method
        if not isinstance(method, RecipeMethod):
            return method.fit(every, self.seed), None
        model = self.out / MODEL_FOLDER
        if (model / CHECKSUMS_FILE).exists():
            return FittedMethod(self._of_this_run(model, method.recipe, every)), model
        kept = RecipeMethod(method.recipe, self.device, model / TRAINING_FOLDER, quiet=False)
        encoder = kept.fit(every, self.seed)
        write_split(every, model)
        encoder.detector.save(model)
        return encoder, model

    def _of_this_run(self, model: Path, recipe: Recipe, cases: Cases) -> Detector:
        """The model that an earlier call has trained, if it did so as this one would."""
        detector = Detector.load(model, device=self.device)
        if (detector.recipe.name, detector.recipe.values, detector.seed) != (recipe.name, recipe.values, self.seed):
            raise ModelError(f"{model}: was trained with other settings; choose another --out, or give the same ones")
        learned_from = recipe.build("data").choose(cases.unlabelled(), None, self.seed).train
        images = digest(detector.preparation_.decode(learned_from).keys)
        if images != detector.provenance_["data"]["training"]["digest"]:
            raise ModelError(f"{model}: was trained on other images; choose another --out, or give the same ones")
        return detector

    # ---------------------------------------------------------------- what is found

    def _analysis(self, encoder: Encoder, cases: Cases) -> Analysis:
        if self._found_before:
            clustering, _ = clusters_of(self._found_before)
            return assign(encoder, cases, clustering, self.seed)
        return analyse(encoder, cases, self.settings, range(2, self.largest + 1), self.choose, self.seed)

    def _tables(self, encoder: Encoder, cases: Cases, settings: ClusterSettings) -> list[MatchTable]:
        method = encoder if isinstance(encoder, FittedMethod) and self._fitted else self._method
        others = [other for other in (PixelMethod(), ColourMethod()) if other.name != method.name]
        rows = cross_validate(
            [method, *others],
            cases,
            folds=self.folds,
            by=self.by,
            settings=settings,
            naming=self.naming,
            seed=self.seed,
            classifier=Classifier(device=self.device, quiet=True) if self.supervised else None,
            folder=self.out / FOLDS_FOLDER,
        )
        return [fold_table(rows, method.name, self.by, self.seed)]

    # ---------------------------------------------------------------- what is said

    def _described(self, encoder: Encoder) -> Mapping[str, Any]:
        if isinstance(encoder, FittedMethod):
            return encoder.detector.recipe.to_json()
        return {"name": encoder.name, "title": encoder.title}

    def _facts(self, analysis: Analysis, cases: Cases) -> dict[str, Any]:
        clustering = analysis.groups.clustering
        return {
            "Data": {"source": cases.source, **fingerprint(cases)},
            "Clusters": asdict(clustering.settings) | {"seed": self.seed, "latents": analysis.groups.latents.shape[1]},
            "Computed with": environment(self.device if self.device != "auto" else "cpu"),
        }

    def _notes(self, encoder: Encoder) -> Sequence[str]:
        notes = []
        if self._found_before:
            notes.append(f"Images were put into clusters that were found before, in {self._found_before}.")
        if isinstance(encoder, FittedMethod):
            if self.folds and self._fitted:
                notes.append("The network was trained before folds were made, perhaps on images of their test sides.")
            notes += encoder.detector.notes_
        return notes
