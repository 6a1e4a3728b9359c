"""Commands that create, import, export and describe datasets."""

from dataclasses import asdict
from pathlib import Path
from typing import Annotated

import typer

from dogsim.cli import option
from dogsim.cli.common import (
    check_dataset_output,
    description,
    note_breeds,
    print_result,
    summary,
)


def create_dataset(
    images_dir: Annotated[
        Path, typer.Argument(metavar="DIR", help="A folder with one folder of images per breed.")
    ],
    out: option.Out,
    *,
    options: option.ExtractionArguments,
    verify: Annotated[
        bool, typer.Option("--verify", help="Find changed images by their content.")
    ] = False,
    boxes: Annotated[
        str | None,
        typer.Option(
            metavar="FOLDER",
            help="Crop each image to its largest box, from the PASCAL-VOC files in a folder like "
            "DIR.  [default: as in the file]",
        ),
    ] = None,
    labels: option.Labels = None,
    names: Annotated[
        str | None,
        typer.Option(
            metavar="FILE.csv",
            help="Replace labels by names: a CSV file with the columns code,name.  "
            "[default: as in the file]",
        ),
    ] = None,
    exclude: Annotated[
        list[str] | None,
        typer.Option(
            metavar="PATTERN",
            help="Leave out files and folders whose name or path matches, such as '*_thumb.jpg'; "
            "can be repeated.  [default: as in the file]",
        ),
    ] = None,
    scenes: Annotated[
        str | None,
        typer.Option(
            metavar="RULE",
            help="Shots of one scene, which count as one: none; auto, by comparing the images; "
            "folder, the innermost one; FILE.csv with the columns path,scene; or a regular "
            "expression with a group `(?P<scene>...)` for the file name.  "
            "[default: as in the file, else none]",
        ),
    ] = None,
    forget_edits: Annotated[
        bool,
        typer.Option(
            "--forget-edits",
            help="Include the images that dogsim apply removed, and label all images by the rule.",
        ),
    ] = False,
    force: option.Force = False,
    cluster: option.Cluster = None,
    as_json: option.Json = False,
) -> None:
    """Compute the features of a folder of breed folders and store them.

    Run it again to continue after a stop, or to add new and changed images. Options that are not
    given are those of the file, if it exists.

    Example: `dogsim create-dataset Images -o dogs.h5`
    """
    from dogsim.cluster.extraction import compute_on
    from dogsim.create_dataset import bring_up_to_date
    from dogsim.folders.extraction import compute_shards
    from dogsim.folders.listing import check_skipped_table, report_skipped
    from dogsim.folders.run_options import split_options

    run_options = {"verify": verify, "force": force, "forget_edits": forget_edits, "boxes": boxes}
    layout = {"labels": labels, "names": names, "exclude": exclude, "scenes": scenes}
    network, run = split_options(options.given | run_options | layout)
    check_skipped_table(out, force)
    compute = compute_on(cluster, out) if cluster else compute_shards
    update = bring_up_to_date(images_dir, out, network, run, compute)
    report_skipped(update.skipped, out)
    counts = {name: getattr(update, name) for name in ("new", "changed", "kept", "removed")}
    done = ", ".join(f"{count} {name}" for name, count in counts.items())
    text = f"{summary(out, update.dataset)} ({done}, {len(update.skipped)} skipped)"
    skipped = [asdict(each) for each in update.skipped]
    result = {"dataset": str(out), **description(update.dataset), **counts, "skipped": skipped}
    note_breeds(update.dataset)
    print_result(result, as_json, text)


def info(file: option.File, as_json: option.Json = False) -> None:
    """Describe a dataset file.

    Example: `dogsim info dogs.h5`
    """
    from dogsim.dataset import Dataset
    from dogsim.storage.edits import count_edits

    dataset = Dataset.open(file)
    facts = description(dataset) | count_edits(dataset.edits)
    shown = dict(facts)
    if facts["images_per_breed"]:
        smallest, median, largest = facts["images_per_breed"]
        shown["images_per_breed"] = f"{smallest} to {largest}, median {median:g}"
    text = "\n".join(f"{name:<16} {value}" for name, value in shown.items())
    print_result({"dataset": str(file), **facts}, as_json, text)


def stanford_dogs(
    folder: Annotated[Path, typer.Argument(metavar="DIR", help="The folder to create.")],
    archives: Annotated[
        Path | None,
        typer.Option("--from", help="Folder with images.tar and lists.tar.  [default: download]"),
    ] = None,
    annotations: Annotated[
        bool, typer.Option("--annotations", help="Download the bounding boxes, too.")
    ] = False,
    crop_boxes: Annotated[
        bool,
        typer.Option(
            "--crop-boxes", help="Download the boxes, and crop each image to its largest box."
        ),
    ] = False,
    *,
    options: option.ExtractionArguments,
    as_json: option.Json = False,
) -> None:
    """Download Stanford Dogs and create datasets of its official train and test lists.

    Example: `dogsim stanford-dogs dogs`, then
    `dogsim accuracy --dataset dogs/train.h5 --test dogs/test.h5`
    """
    from dogsim.sources.stanford_dogs import split_file
    from dogsim.sources.stanford_dogs import stanford_dogs as create_datasets

    datasets = create_datasets(
        folder, archives, annotations=annotations, crop_boxes=crop_boxes, **options.given
    )
    files = {split: split_file(folder, split, crop_boxes) for split in datasets}
    result = {
        split: {"dataset": str(files[split]), **description(dataset)}
        for split, dataset in datasets.items()
    }
    lines = [summary(files[split], dataset) for split, dataset in datasets.items()]
    print_result(result, as_json, "\n".join(lines))


def caltech101(
    folder: Annotated[Path, typer.Argument(metavar="DIR", help="The folder to create.")],
    archives: Annotated[
        Path | None,
        typer.Option("--from", help="Folder with caltech-101.zip.  [default: download]"),
    ] = None,
    background: Annotated[
        bool, typer.Option("--background", help="Include the images that have no class.")
    ] = False,
    *,
    options: option.ExtractionArguments,
    as_json: option.Json = False,
) -> None:
    """Download Caltech-101 and create a dataset of its 101 classes.

    Example: `dogsim caltech101 caltech`, then `dogsim accuracy --dataset caltech/caltech101.h5`
    """
    from dogsim.sources.caltech101 import caltech101 as create

    dataset = create(folder, archives, background=background, **options.given)
    out = folder / "caltech101.h5"
    print_result({"dataset": str(out), **description(dataset)}, as_json, summary(out, dataset))


def import_mat(
    file: Annotated[
        Path, typer.Argument(metavar="FILE.mat", help="A file saved by MATLAB or Octave.")
    ],
    out: Annotated[Path, typer.Argument(metavar="OUT.h5", help="The dataset file to write.")],
    labels: Annotated[
        str | None,
        typer.Option(
            metavar="top|parent|FILE.csv|REGEX",
            help="What labels an image, as for create-dataset, after the folders that all paths "
            "share.  [default: the labels in the file, else parent]",
        ),
    ] = None,
    force: option.Force = False,
    as_json: option.Json = False,
) -> None:
    """Create a dataset file from `features` and `paths` saved by MATLAB or Octave.

    Example: `dogsim import-mat data.mat dogs.h5`
    """
    from dogsim.sources.matlab import import_mat as read

    check_dataset_output(out, [file], "import-mat", force)
    dataset = read(file, labels)
    dataset.save(out, "import-mat")
    note_breeds(dataset)
    print_result({"dataset": str(out), **description(dataset)}, as_json, summary(out, dataset))


def export_mat(
    file: option.File,
    out: Annotated[Path, typer.Argument(metavar="OUT.mat", help="The file to write.")],
    force: option.Force = False,
    as_json: option.Json = False,
) -> None:
    """Export `features`, `paths`, `labels` and `breeds` for MATLAB and Octave.

    Example: `dogsim export-mat dogs.h5 dogs.mat`
    """
    from dogsim.dataset import Dataset
    from dogsim.plumbing.files import check_output, check_replaceable
    from dogsim.sources.matlab import export_mat as write
    from dogsim.sources.matlab import made_by_export

    check_output(out, [file])
    check_replaceable(out, made_by_export, force)
    dataset = Dataset.open(file)
    write(dataset, out)
    print_result({"file": str(out), **description(dataset)}, as_json, summary(out, dataset))


def export(
    file: option.File,
    out: Annotated[Path, typer.Argument(metavar="OUT", help="The .npy or .parquet file to write.")],
    force: option.Force = False,
    as_json: option.Json = False,
) -> None:
    """Export the features for NumPy, FAISS or a vector database.

    Example: `dogsim export dogs.h5 dogs.npy`
    """
    from dogsim.dataset import Dataset
    from dogsim.plumbing.files import check_output, check_replaceable
    from dogsim.sources.vectors import check_vectors, export_vectors

    check_vectors(out)
    check_output(out, [file])
    check_replaceable(out, lambda _: False, force)
    dataset = Dataset.open(file)
    export_vectors(dataset, out)
    print_result({"file": str(out), **description(dataset)}, as_json, summary(out, dataset))
