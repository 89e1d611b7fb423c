"""``sanoscope cluster``: groups of images by what a method sees in them, without labels."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from sanoscope.cli.options import (
    INTERRUPTED,
    PARTLY_DONE,
    ConfigOption,
    DataArgument,
    DeviceOption,
    EpochsOption,
    LayoutOption,
    NormalOption,
    PresetOption,
    SeedOption,
    SetOption,
    VerboseOption,
    recipe_options,
    require_new,
    require_outside,
)
from sanoscope.errors import OptionError

if TYPE_CHECKING:
    from collections.abc import Sequence

    from sanoscope.clustering.clusterer import ClusterSettings
    from sanoscope.report.clusters_content import MatchTable
    from sanoscope.subtypes.groups import Groups


def cluster(
    source: Annotated[
        str,
        typer.Argument(
            metavar="RECIPE|MODEL",
            help="A method to train on DATA, without labels; 'pixels' or 'mean-colour' for none; a folder that "
            "'sanoscope fit' wrote; or one that 'sanoscope cluster' wrote, to put other images into its clusters.",
        ),
    ],
    data: DataArgument,
    out: Annotated[Path, typer.Option("--out", help="New folder for assignments, clusters, model and the report.")],
    k: Annotated[
        str, typer.Option("--k", metavar="NUMBER|auto", help="Number of clusters; auto takes the suggestion.")
    ] = "2",
    algorithm: Annotated[
        str, typer.Option("--algorithm", help="k-means, mini-batch-k-means or gaussian-mixture.")
    ] = "k-means",
    scaling: Annotated[
        str, typer.Option("--scaling", help="none, or standard: each latent with unit variance.")
    ] = "none",
    covariance: Annotated[
        str, typer.Option("--covariance", help="Of a Gaussian mixture: full, tied, diagonal or spherical.")
    ] = "diagonal",
    starts: Annotated[int, typer.Option("--starts", help="Starts of k-means, of which the best is kept.")] = 50,
    largest: Annotated[int, typer.Option("--largest-k", min=2, help="Compare numbers of clusters up to this one.")] = 8,
    folds: Annotated[
        int, typer.Option("--folds", help="Folds of a cross-validation against the labels, such as 5; 0 has none.")
    ] = 0,
    by: Annotated[str, typer.Option("--by", help="What folds are made of: subject or image.")] = "subject",
    naming: Annotated[
        str,
        typer.Option("--naming", help="How clusters are named by training labels: one-to-one, released or majority."),
    ] = "one-to-one",
    supervised: Annotated[
        bool, typer.Option("--supervised", help="Compare with a DenseNet-121 trained by the labels; with --folds.")
    ] = False,
    preset: PresetOption = None,
    assignments: SetOption = None,
    config: ConfigOption = None,
    epochs: EpochsOption = None,
    normal: NormalOption = None,
    layout: LayoutOption = None,
    seed: SeedOption = 0,
    device: DeviceOption = "auto",
    resume: Annotated[bool, typer.Option("--resume", help="Go on with an interrupted run in --out.")] = False,
    verbose: VerboseOption = False,
) -> None:
    """Find groups of images in DATA and show them; labels, where there are any, only judge the groups afterwards."""
    from sanoscope.subtypes.run import ClusterRun

    options = recipe_options(config, assignments, training__epochs=epochs)
    if supervised and not folds:
        raise OptionError(
            "--supervised needs --folds, such as --folds 5: a network that saw the labels is tested on others"
        )
    settings = _settings(k, algorithm, scaling, covariance, starts)
    if not resume:
        require_new(out, "go on by --resume if it was interrupted, or choose another --out")
    run = ClusterRun(
        source=source,
        out=out,
        settings=settings,
        choose=k == "auto",
        largest=largest,
        folds=folds,
        by=by,
        naming=naming,
        supervised=supervised,
        preset=preset,
        options=options,
        seed=seed,
        device=device,
    )
    cases = run.read(data, normal, layout)
    if cases.layout != "manifest":
        require_outside(out, data)
    try:
        groups, tables, page = run.carry_out(cases)
    except KeyboardInterrupt:
        from sanoscope.console import say

        say("interrupted; the same command with --resume goes on from what is done")
        raise typer.Exit(INTERRUPTED) from None
    _print(groups, tables, page)


def _settings(k: str, algorithm: str, scaling: str, covariance: str, starts: int) -> ClusterSettings:
    from sanoscope.clustering.clusterer import ClusterSettings

    if k != "auto" and not k.isdecimal():
        raise OptionError(f"--k takes a number of clusters or 'auto', not '{k}'")
    number: dict[str, Any] = {} if k == "auto" else {"clusters": int(k)}
    return ClusterSettings(algorithm=algorithm, scaling=scaling, covariance=covariance, starts=starts, **number)


def _print(groups: Groups, tables: Sequence[MatchTable], page: Path) -> None:
    from sanoscope.cli.tables import print_groups, print_match
    from sanoscope.console import say

    for path, reason in groups.unreadable:
        say(f"not grouped: {reason if path in reason else f'{path}: {reason}'}")
    print_groups(groups)
    for table in tables:
        print_match(table)
    typer.echo(f"report: {page}")
    if groups.unreadable:
        say(f"images without a cluster: {len(groups.unreadable)}; they are listed in {page.with_name('clusters.json')}")
        raise typer.Exit(PARTLY_DONE)
