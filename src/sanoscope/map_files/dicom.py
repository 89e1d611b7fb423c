"""Maps as DICOM, beside the images that they are of: a Segmentation and a Parametric Map that refer to the source.

highdicom makes both from a few elements of the sources, how they lie and their UIDs, and never sees who the patient
is. That is added at the end: the source's own patient and study where that was asked for, else a pseudonym. The UIDs
of study, series and images stay as they are in any case, as nothing else tells what a result belongs to.
"""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from sanoscope.cases.case import Cases
from sanoscope.cases.dicom_series import series_of
from sanoscope.cases.volume_map import volume_of_maps
from sanoscope.errors import ImageError, OptionError
from sanoscope.heatmaps import Heatmaps
from sanoscope.map_files.dicom_sources import LONGEST, no_result, patient_of, pseudonymous_patient, sources_of
from sanoscope.map_files.geojson import pixel_threshold
from sanoscope.provenance import version

if TYPE_CHECKING:
    from pydicom.dataset import Dataset

MAPS = "maps"


def write_dicom(
    name: str,
    cases: Cases,
    maps: Heatmaps,
    indices: Sequence[int],
    folder: Path,
    identified: bool,
    recipe: str = "",
) -> list[Path]:
    """Write the deciding map of one series, or of one image, as ``maps/NAME.map.dcm`` and ``maps/NAME.seg.dcm``.

    The Parametric Map has the values (float32) on the source's own grid, a frame for each of its slices; those that
    were not scored are 0. The Segmentation has what is above ``pixel_threshold``, without its empty frames.

    Args:
        name: Of the files, without their endings.
        cases: All that were scored.
        maps: Theirs.
        indices: The slices of one DICOM series or file of several frames, whichever way they were cut; or one image.
        folder: Of the results; it and its subfolders are made.
        identified: Copy patient and study from the source. Otherwise PatientID is the case's subject, or where that
            is unknown or the true identifier, its pseudonym; all else that tells of the patient is left out.
        recipe: Name of the method, for the algorithm's identification.

    Returns:
        The files that were written.

    Raises:
        ImageError: There is no result, and why: the source is one that results cannot refer to, or nothing is above
            the threshold; in the latter case the map is written.
        OptionError: highdicom is not installed.
    """
    _require_highdicom()
    first = cases[indices[0]]
    path = first.path
    assert path is not None, "DICOM cases are files"
    sources = sources_of(first)
    patient = patient_of(path) if identified else pseudonymous_patient(first)
    frames = _frames(cases, maps, indices)
    threshold_name, threshold = pixel_threshold(maps)
    above = frames > np.float32(threshold)
    what = f"{maps.name} above {threshold_name} = {threshold:.4g}"
    results = {"map": _parametric_map(path, sources, frames, maps)}
    if above.any():
        results["seg"] = _segmentation(path, sources, above, what, recipe)
    written = [_save(result, patient, folder / MAPS / f"{name}.{kind}.dcm") for kind, result in results.items()]
    if not above.any():
        raise ImageError(f"{path}: no pixel has {what}, so there is no DICOM Segmentation of it")
    return written


def _require_highdicom() -> None:
    try:
        import highdicom  # noqa: F401
    except ImportError as error:
        raise OptionError("DICOM results need highdicom; pip install 'sanoscope[dicom]'") from error


def _frames(cases: Cases, maps: Heatmaps, indices: Sequence[int]) -> np.ndarray:
    """The maps as frames ``(K, rows, columns)`` float32, in the order of the source's files or frames."""
    first = cases[indices[0]]
    if first.slice is None:
        return maps.on_source_grid(indices[0])[None]
    assert first.path is not None, "a slice is of a file"
    heatmaps = {cases[i].slice.index: maps.on_source_grid(i) for i in indices}
    frames = volume_of_maps(first.path, heatmaps, first.slice.axis).T
    order = series_of(first.path).frames
    return frames[np.argsort(order)] if list(order) != sorted(order) else frames


def _parametric_map(path: Path, sources: Sequence[Dataset], frames: np.ndarray, maps: Heatmaps) -> Dataset:
    from highdicom import UID, VOILUTTransformation
    from highdicom.pm import ParametricMap, RealWorldValueMapping
    from pydicom.sr.codedict import codes

    class IndexedMap(ParametricMap):
        """Of an image without a place, whose only frame highdicom 0.28 gives no index and then misses it."""

        @staticmethod
        def _get_pffg_item(dimension_index_values: list[int], *others: Any, **named: Any) -> Dataset:
            item = ParametricMap._get_pffg_item(dimension_index_values or [1], *others, **named)
            if not dimension_index_values:
                item.FrameContentSequence[0].FrameLabel = "1"
            return item

    low, high = maps.range_of()
    width = high - low if high > low else 1.0
    # The function that needs no width of 1 or more, as maps often lie between 0 and 1 (PS3.3, C.11.2.1.3).
    window = VOILUTTransformation(low + width / 2, width, voi_lut_function="LINEAR_EXACT")
    mapping = RealWorldValueMapping(
        lut_label=maps.name[:16],
        lut_explanation="How abnormal, on the scale of the method",
        unit=codes.UCUM.NoUnits,
        value_range=(float(frames.min()), float(frames.max())),
        slope=1.0,
        intercept=0.0,
    )
    result = _made(
        path,
        IndexedMap,
        sources,
        frames,
        series_number=9001,
        series_description=f"Abnormality map: {maps.name}",
        content_label="ABNORMALITY_MAP",
        content_description="How abnormal each pixel is",
        contains_recognizable_visual_features=sources[0].get("RecognizableVisualFeatures") != "NO",
        real_world_value_mappings=[mapping],
        voi_lut_transformations=[window],
    )
    if "FrameOfReferenceUID" not in result:  # which a map has to have, if its own (PS3.3, A.75.3)
        result.FrameOfReferenceUID, result.PositionReferenceIndicator = UID(), ""
    return result


def _segmentation(path: Path, sources: Sequence[Dataset], above: np.ndarray, what: str, recipe: str) -> Dataset:
    from highdicom import AlgorithmIdentificationSequence
    from highdicom.seg import Segmentation, SegmentDescription
    from pydicom.sr.codedict import codes

    segment = SegmentDescription(
        segment_number=1,
        segment_label="Abnormality found by the model",
        segmented_property_category=codes.SCT.MorphologicallyAbnormalStructure,
        segmented_property_type=codes.SCT.Lesion,
        algorithm_type="AUTOMATIC",
        algorithm_identification=AlgorithmIdentificationSequence(
            name=f"sanoscope {recipe}".strip()[:LONGEST], family=codes.DCM.ArtificialIntelligence, version=version()
        ),
    )
    segment.SegmentDescription = f"Pixels with {what}"
    result = _made(
        path,
        Segmentation,
        sources,
        above,
        series_number=9002,
        series_description=f"Abnormality: {what}",
        content_label="ABNORMALITY",
        content_description="What is above the threshold of the map",
        segmentation_type="BINARY",
        segment_descriptions=[segment],
    )
    shared = result.SharedFunctionalGroupsSequence[0]
    if "PlaneOrientationSequence" not in shared:  # spacing without a slice's thickness, which highdicom cannot read
        shared.pop("PixelMeasuresSequence", None)
    return result


def _made(path: Path, kind: type[Any], sources: Sequence[Dataset], frames: np.ndarray, **of_kind: Any) -> Dataset:
    """An instance of one of highdicom's classes, the only one of a new series."""
    from highdicom import UID

    of_kind["series_description"] = of_kind["series_description"][:LONGEST]
    try:
        return kind(  # type: ignore[no-any-return]
            sources,
            frames,
            series_instance_uid=UID(),
            sop_instance_uid=UID(),
            instance_number=1,
            manufacturer="Sanoscope",
            manufacturer_model_name="sanoscope",
            software_versions=version(),
            device_serial_number="none",
            specific_character_set="ISO_IR 192",
            **of_kind,
        )
    except KeyError as error:
        raise no_result(path, "highdicom does not know its kind of image") from error
    except (AttributeError, IndexError, RuntimeError, TypeError, ValueError) as error:
        raise no_result(path, f"highdicom: {' '.join(str(error).split())}") from error


def _save(result: Dataset, patient: Dataset, file: Path) -> Path:
    result.update(patient)
    file.parent.mkdir(parents=True, exist_ok=True)
    result.save_as(file, enforce_file_format=True)
    return file
