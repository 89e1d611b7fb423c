"""Pages of results for a repository: a table a page, with its figures, written from the tables' own JSON."""

from __future__ import annotations

import json
from collections.abc import Iterator
from pathlib import Path

from sanoscope.errors import DataError
from sanoscope.report.study_content import StudyContent

INDEX = "README.md"


def keep_table(content: StudyContent, folder: Path) -> Path:
    """Write the JSON that a page is made of; its file appears whole or not at all."""
    folder.mkdir(parents=True, exist_ok=True)
    file = folder / f"{content.name}.json"
    unfinished = file.with_suffix(".tmp")
    unfinished.write_text(json.dumps(content.to_json(), indent=1, ensure_ascii=False) + "\n", encoding="utf-8")
    unfinished.replace(file)
    return file


def kept_tables(folder: Path) -> list[StudyContent]:
    """The tables of a folder, by name.

    Raises:
        DataError: If a file cannot be read.
    """
    contents = []
    for file in sorted(folder.glob("*.json")):
        try:
            contents.append(StudyContent.from_json(json.loads(file.read_text(encoding="utf-8"))))
        except (OSError, ValueError, KeyError, TypeError) as error:
            raise DataError(f"{file}: is no table of a study ({error}); remove it or write it anew") from error
    return contents


def pages_of(folder: Path) -> Iterator[tuple[Path, str]]:
    """Every page and figure that the folder's tables give, with its text; the same tables give the same texts."""
    from sanoscope.report.study_markdown import figure_files, markdown_index, markdown_study

    contents = kept_tables(folder)
    for content in contents:
        figures = figure_files(content)
        yield folder / f"{content.name}.md", markdown_study(content, {name: name for name in figures})
        for name, text in figures.items():
            yield folder / name, text
    yield folder / INDEX, markdown_index(contents)


def write_pages(folder: Path) -> list[Path]:
    """Write every page and figure."""
    written = []
    for file, text in pages_of(folder):
        file.write_text(text, encoding="utf-8")
        written.append(file)
    return written
