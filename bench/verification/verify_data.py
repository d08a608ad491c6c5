"""Derive the digests and overlaps of an archive again from the files of its data sets."""

from collections.abc import Callable, Iterator
from dataclasses import fields, replace
from pathlib import Path
from tempfile import TemporaryDirectory

from ..data.files import DatasetNotFoundError
from ..data.find_set import Splits
from ..data.names import card_of, place_of, split_name
from ..data.packed import Prepared, Summary
from ..data.prepare import prepare, source_exists
from ..data.registry import UnknownDatasetError, add_cards, cards_in
from ..data.sharing import Sharing
from ..data.sources.card_file import SUFFIX
from ..data.splits import Split, same_groups
from ..grid.expand import pools_of
from ..plan.overlaps import Shared, sharing_of
from ..plan.plan import Plan
from ..plan.seen import seen_sharing
from ..store.records import Store
from .check import Checked, Finding
from .submission import Submission

OnSet = Callable[[str], None]
COUNTS = [one.name for one in fields(Sharing) if one.name != "copied"]  # an audit takes minutes


def with_raw_data(
    found: Submission, archive: Store, plan: Plan, data_dir: Path, on_set: OnSet
) -> Submission:
    """Add what the files of the data sets say about a submission.

    Args:
        found: The submission, checked without data.
        archive: The store in its archive.
        plan: The plan of the archive.
        data_dir: The folder of the data sets; sets that it does not hold are not checked.
        on_set: Called with the name of each set.
    """
    add_cards(data_dir)  # an archive has cards without the folders of their chips
    findings, absent, summaries = list[Finding](), list[str](), dict[str, Summary]()
    with TemporaryDirectory(prefix="sarbench-") as folder:
        store = Store(Path(folder))
        for name, known in plan.data.items():
            on_set(name)
            made = _derive(name, data_dir, store)
            if made is None:
                absent.append(name)
            elif isinstance(made, Finding):
                findings.append(made)
            else:
                findings += _differences(name, known, made.summary)
                findings += _other_groups(name, known, made, archive)
                summaries[name] = made.summary
        on_set("overlaps of pools")
        pools = pools_of(entry.planned for entry in plan.pretrain)
        findings += _other_counts(
            "pool", plan.sharing, sharing_of(plan.grid, summaries, pools, store)
        )
        findings += _other_counts(
            "seen", plan.seen, seen_sharing(plan.grid, summaries, data_dir, store, None)
        )
    unchecked = [f"pixels and groups of {', '.join(absent)}: not in {data_dir}"] if absent else []
    checked = found.checked + Checked(0, 0, findings)
    return replace(found, checked=checked, unchecked=[*found.unchecked, *unchecked])


def _other_counts(kind: str, stored: Shared, counted: Shared) -> Iterator[Finding]:
    """Yield findings about counts of shared chips that differ where both are known."""
    for names, datasets in counted.items():
        for name, one in datasets.items():
            known = stored.get(names, {}).get(name)
            values = {part: (getattr(known, part, None), getattr(one, part)) for part in COUNTS}
            listed = ", ".join(
                f"{part} {there}, not {here}"
                for part, (there, here) in values.items()
                if None not in (there, here) and there != here
            )
            if listed:
                yield Finding(kind, ", ".join(names), (
                    f"the archive counts other chips in common with {name}: {listed}; make it again"
                ))  # fmt: skip


def _derive(name: str, data_dir: Path, store: Store) -> Prepared | Finding | None:
    """Return a set, made of its files; None if they are not there."""
    try:
        given = place_of(name)
        if not source_exists(card_of(given), data_dir):
            return None
        bare, pool = split_name(given)
        return prepare(bare, data_dir, store.prepared, pool=pool)
    except UnknownDatasetError as error:
        has_card = f"{name}{SUFFIX}" in {path.name for path in cards_in(data_dir)}
        return Finding("data", name, f"its card cannot be used: {error}") if has_card else None
    except DatasetNotFoundError:
        return None
    except (ValueError, OSError, LookupError) as error:
        text = f"its files in {data_dir} cannot be read ({error}); give the folder of whole files"
        return Finding("data", name, text)


def _differences(name: str, known: Summary, made: Summary) -> list[Finding]:
    found = []
    for what, digest in (("pixels", "data_digest"), ("split", "split_digest")):
        there, here = getattr(known, digest), getattr(made, digest)
        if there != here:
            found.append(Finding("data", name, (
                f"the archive has {what} {there[:12]}, the files here give {here[:12]}; use the "
                "files that the card of the data set describes (`sarbench data verify`)"
            )))  # fmt: skip
    return found


def _other_groups(name: str, known: Summary, made: Prepared, archive: Store) -> list[Finding]:
    """Return a finding if the archive has other near-duplicate groups of test chips."""
    chips, summary = made
    digests = known.data_digest, known.split_digest
    split = Splits([archive.root]).find(name, *digests)
    if split is None or (summary.data_digest, summary.split_digest) != digests:
        return []
    here = Split(chips.ids, chips.labels, chips.is_test, chips.classes, chips.group)
    if same_groups(split.groups(name), here.groups(name)):
        return []
    return [Finding("data", name, (
        "the archive has other groups of near duplicates of its test chips than the files here, "
        "and intervals follow from them; prepare the set from these files in the store of its "
        "runs (`sarbench data prepare`), and make the archive again"
    ))]  # fmt: skip
