"""Commands on files of weights: inspect, import, export, and features under their encoders."""

from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from ..data.find_set import store_at
from ..given_file import LOOKS_UNTRAINED, NOTHING_STATED, Stated
from ..suggest import RequestError
from .app import COMMANDS, app, out, print_error, print_json, print_status, warn
from .options import DATA, RUNS, DataDir, Json, RunsDir, new_file
from .progress import Bar, progress
from .stated_arguments import with_stated

if TYPE_CHECKING:  # `--help` needs no torch
    from ..weights.given_weights import GivenWeights

weights = typer.Typer(no_args_is_help=True, help=COMMANDS["weights"][1])
app.add_typer(weights, name="weights")

UNTRAINED = f"this encoder {LOOKS_UNTRAINED}"
SHOWN = 12  # keys of one kind in the terminal
File = Annotated[Path, typer.Argument(metavar="FILE", help="file of weights")]


@weights.command("inspect")
@with_stated
def inspect(stated: Stated, file: File, as_json: Json = False) -> None:
    """Say what a file of weights is; exit with 2 if a key is unaccounted or missing."""
    from ..weights.find_encoder import find_encoder
    from ..weights.untrained import looks_untrained

    found = find_encoder(file, stated)
    if as_json:
        print_json(_described(found))
    else:
        _print_page(found)
    if not found.account.complete:
        print_error(
            f"{file} cannot be used: missing weights: {len(found.account.missing)}, unexpected "
            f"keys: {len(found.account.unexpected)}; {found.account.hint}"
        )
        raise typer.Exit(2)
    if looks_untrained(found.network()):
        warn(UNTRAINED)


@app.command("features")
@with_stated
def write_features(
    stated: Stated,
    source: Annotated[
        str, typer.Argument(metavar="FILE_OR_KEY", help="file of weights, or key of a pretraining")
    ],
    images: Annotated[str, typer.Argument(metavar="IMAGES", help="folder of chips, or data set")],
    path: Annotated[Path, typer.Option("--out", callback=new_file, help="file to write (NPZ)")],
    readout: Annotated[str, typer.Option(help="class, patch_mean or tokens")] = "patch_mean",
    runs: RunsDir = RUNS,
    data: DataDir = DATA,
) -> None:
    """Write the features of chips under the encoder of a file or of a key."""
    from ..weights.features import KEY, check_readout, encoder_of_key
    from ..weights.find_encoder import find_encoder
    from ..weights.untrained import looks_untrained

    if not Path(source).exists() and KEY.fullmatch(source):
        if stated != NOTHING_STATED:
            options = " and ".join(f"--{name.replace('_', '-')}" for name in stated.to_json())
            raise RequestError(
                f"{source} is a key, which says what its encoder is; leave {options} out"
            )
        config = None
        network, px = encoder_of_key(store_at(runs), source)
    else:
        found = find_encoder(Path(source), stated)
        config, network, px = found.config, found.network(), found.encoder.input_px
        _print_notes(found)
        if looks_untrained(network):
            warn(UNTRAINED)
    check_readout(network, readout)
    count = _write(path, network, px, config, images, readout, runs, data)
    out.print(f"written: {path} ({count[0]} chips, {readout} {count[1]})")


@weights.command("import")
@with_stated
def import_file(
    stated: Stated,
    file: File,
    label: Annotated[str | None, typer.Option(help="name of the encoder, for its card")] = None,
    seen: Annotated[
        list[str] | None,
        typer.Option(help="data set that it was trained on, for its card; may be repeated"),
    ] = None,
    labels: Annotated[
        bool | None, typer.Option("--labels/--no-labels", help="labels were used, for its card")
    ] = None,
    runs: RunsDir = RUNS,
) -> None:
    """Copy the encoder of a file into the store and print its key."""
    from ...results.record import GivenSource
    from ..identity import Resources
    from ..weights.find_encoder import find_encoder
    from ..weights.storing import store_given
    from ..weights.untrained import looks_untrained

    for one in (label, *(seen or ())):
        if one is not None and not (one.strip() and one.isprintable()):
            raise RequestError(f"{one!a} is not printable text; give another label or name")
    found = find_encoder(file, stated)
    if looks_untrained(found.network()):
        warn(UNTRAINED)
    store, key = store_at(runs), found.identity().key
    store.check_writable()
    _print_notes(found)
    if store.read("pretrain", key) is not None:
        print_status("the store had this encoder before; its record stays as it is")
    source = GivenSource(file=file.name, label=label, seen=seen, labels=labels)
    out.print(store_given(found, store, Resources(), source).key)


@weights.command("export")
def export_key(
    key: Annotated[str, typer.Argument(metavar="KEY", help="key of a pretraining, or its first 12 "
                                       "letters or more")],
    path: Annotated[Path, typer.Option("--out", callback=new_file, help="file to write "
                                       "(.safetensors); its model card (.md) is next to it")],
    runs: RunsDir = RUNS,
) -> None:  # fmt: skip
    """Write an encoder of the store for timm, with a model card; a loader if timm lacks it."""
    from ..store.atomic import write_all
    from ..weights.export import check_target, companions, export, stored_encoder
    from ..weights.features import pretraining_of_key

    check_target(path)
    store = store_at(runs)
    record = pretraining_of_key(store, key)
    given = stored_encoder(store, record)
    made = export(given, record.key)
    from ..reporting.model_card import model_card  # imports scipy

    card, loader = companions(path)
    contents = {card: model_card(store, record, given, made, path.name).encode()}
    if made.loader:
        contents[loader] = made.loader.encode()
    write_all(contents | {path: made.content()})
    out.print(f"written: {path} ({given.architecture})")
    out.print(f"written: {card} (model card: how to load it, input, scores)")
    if made.loader:
        out.print(f"written: {loader} (loader, because timm lacks this network)")


def _write(
    path: Path,
    network: Any,
    px: int,
    config: Any,
    images: str,
    readout: str,
    runs: Path,
    data: Path,
) -> tuple[int, str]:
    """Write features and ids of chips; return their number and the shape of one feature.

    Of a data set, labels, class names and the side of the split are written too.
    A warning says if the first chips do not fit the input that `config` declares.
    """
    from itertools import chain, islice

    import numpy as np

    from ..data.pixel_statistics import MOST_CHIPS, input_problem, pixel_statistics
    from ..store.atomic import npz, write_atomic
    from ..weights.features import chips_in, chips_of_set, features, images_in

    known: dict[str, np.ndarray] = {}
    if Path(images).is_dir():
        folder = Path(images)
        paths = images_in(folder)
        if not folder.is_absolute():
            print_status(f"images of the folder {folder.absolute()}")
        chips, total = chips_in(folder, paths), len(paths)
    else:
        from .data import prepare_all

        prepared = prepare_all([images], data, store_at(runs))[0]
        chips, total = chips_of_set(prepared), len(prepared)
        if prepared.classes:
            known = {"labels": prepared.labels, "classes": np.array(prepared.classes),
                     "is_test": prepared.is_test}  # fmt: skip
    first = list(islice(chips, MOST_CHIPS)) if config else []
    pixels = pixel_statistics([chip.numpy() for _, chip in first]) if first else None
    if pixels and (problem := input_problem(pixels, config)):
        warn(
            f"{problem}. If the declared mean and deviation are for another scale, state others "
            "with --mean and --std"
        )
    ids, parts = [], []
    with progress() as shown:
        bar = Bar("features", total, "chips")
        shown.add(bar)
        for names, found in features(network, px, chain(first, chips), readout):
            ids += names
            parts.append(found.numpy())
            bar.done = len(ids)
            shown.update(bar)
    array = np.concatenate(parts)
    write_atomic(path, npz(features=array, ids=np.array(ids), **known))
    return len(ids), " x ".join(map(str, array.shape[1:]))


def _described(found: "GivenWeights") -> dict[str, Any]:
    from ...methods._encoders import encoder_json

    return {
        "layout": found.layout,
        "architecture": encoder_json(found.encoder),
        "input_px": found.encoder.input_px,
        "channels": found.config.channels,
        "digest": found.config.digest,
        "keys": found.account.to_json(),
    }


def _print_notes(found: "GivenWeights") -> None:
    print_status(f"input: {_input(found)}")
    for note in found.notes:
        print_status(f"note: {note}")


def _input(found: "GivenWeights") -> str:
    return f"{found.encoder.input_px} px, {found.config.in_words()}"


def _print_page(found: "GivenWeights") -> None:
    account = found.account
    for title, text in (
        ("layout", found.layout), ("architecture", found.architecture), ("input", _input(found)),
        ("digest", found.config.digest), ("used", f"keys: {len(account.used)}"),
    ):  # fmt: skip
        out.print(f"{title:13} {text}")
    for reason, keys in account.skipped.items():
        out.print(f"{'skipped':13} keys: {len(keys)}, {reason}")
    for title, keys in (("missing", account.missing), ("unexpected", account.unexpected)):
        for key in sorted(keys)[:SHOWN]:
            out.print(f"{title:13} {key}")
        if len(keys) > SHOWN:
            out.print(f"{title:13} and {len(keys) - SHOWN} more")
    for note in found.notes:
        out.print(f"{'note':13} {note}")
