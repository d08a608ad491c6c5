"""BibTeX of what a plan uses: the benchmark, methods, data sets and pools, weights."""

import re
from dataclasses import dataclass, field
from importlib.metadata import metadata
from pathlib import Path

from ..data.names import card_of, place_of
from ..data.registry import UnknownDatasetError
from ..given_identity import weights_of
from ..identity import GIVEN, Pretraining
from ..method_facts.method_info import MethodInfo
from ..plan.plan import Plan

NAME = "sarbench"
YEAR = "2026"  # of the present version
PAPERS = Path(__file__).with_name("papers.bib")
ALSO = {"sar_hog": ("song2016sar",)}  # publications next to that of the registry
LAYOUTS = {  # layout of a file of weights -> publication of its authors' own weights
    "mae": "he2022masked", "fg_mae": "wang2025feature", "i_jepa": "assran2023self",
    "lomar": "chen2022efficient", "sar_jepa": "li2024predicting", "sarmae": "liu2026sarmae",
    "hivit": "li2025saratr", "itpn": "li2026saratr", "dinov2": "oquab2024dinov2",
    "dinov2_hugging_face": "oquab2024dinov2",
}  # fmt: skip
TIMM = "wightman2019timm"


@dataclass
class Bibliography:
    """Entries to print, and what each is for.

    Attributes:
        entries: Key -> BibTeX entry, in the order of use.
        uses: Key -> what the entry is cited for.
        unknown: What is used without a publication that is known.
    """

    entries: dict[str, str] = field(default_factory=dict)
    uses: dict[str, list[str]] = field(default_factory=dict)
    unknown: list[str] = field(default_factory=list)

    def add(self, entry: str, use: str) -> None:
        """Add an entry, or another use of one."""
        key = key_of(entry)
        self.entries[key] = entry
        if use not in self.uses.setdefault(key, []):
            self.uses[key].append(use)

    def __str__(self) -> str:
        """Return a BibTeX file; comments say what each entry is for."""
        parts = [f"% {', '.join(self.uses[key])}\n{one}" for key, one in self.entries.items()]
        parts += [f"% No publication is known for: {', '.join(self.unknown)}"] * bool(self.unknown)
        return "\n\n".join(parts) + "\n"


def papers() -> dict[str, str]:
    """Return the bundled entries by key."""
    found = re.findall(r"^@.*?^}", PAPERS.read_text("utf-8"), re.MULTILINE | re.DOTALL)
    return {key_of(entry): entry for entry in found}


def key_of(entry: str) -> str:
    """Return the key of a BibTeX entry."""
    return entry.partition("{")[2].partition(",")[0]


def value_of(entry: str, name: str) -> str:
    """Return a field of a BibTeX entry; empty if it has none."""
    found = re.search(rf"^ *{name} = {{(.*)}},?$", entry, re.MULTILINE)
    return found[1] if found else ""


def bibliography(plan: Plan) -> Bibliography:
    """Return the publications of the benchmark and of everything that a plan uses."""
    found, known = Bibliography(), papers()
    found.add(own_entry(), "the benchmark")
    used = dict.fromkeys(entry.planned.method for entry in plan.pretrain)
    for info in (plan.methods[name] for name in used):
        if not info.control and info.name != GIVEN:
            _add_method(found, info, known)
    for name in plan.needs():
        _add_set(found, name, known)
    for entry in plan.pretrain:
        identity = entry.planned.identity
        if identity is not None and weights_of(identity).method == GIVEN:
            _add_weights(found, weights_of(identity), plan, known)
        if ((entry.planned.encoder or {}).get("name") or "").startswith("timm:"):
            found.add(known[TIMM], "the networks of timm")
    return found


def own_entry() -> str:
    """Return the entry of the benchmark at its installed version.

    README.md and CITATION.cff have the same.
    """
    about = metadata(NAME)
    return _entry("software", NAME, {
        "author": f"{{The {NAME} authors}}",
        "title": f"{NAME}: {about['Summary']}",
        "year": YEAR,
        "version": about["Version"],
    })  # fmt: skip


def _add_method(found: Bibliography, info: MethodInfo, known: dict[str, str]) -> None:
    arxiv, doi = _identifier(info.paper)
    entries = [
        one
        for one in known.values()
        if (arxiv and value_of(one, "eprint") == arxiv)
        or (doi and value_of(one, "doi").lower() == doi.lower())
    ]
    if not entries and (arxiv or doi):  # of a plug-in
        eprint = {"eprint": arxiv, "archiveprefix": "arXiv"} if arxiv else {"doi": doi}
        entries = [_entry("misc", info.name, {"title": f"{{{info.label}}}"} | eprint)]
    if not entries:
        stated = f" ({info.paper})" if info.paper else ""
        found.unknown.append(f"{info.label}{stated}")
    for one in [*entries, *(known[key] for key in ALSO.get(info.name, ()))]:
        found.add(one, info.label)


def _identifier(paper: str) -> tuple[str, str]:
    """Return the arXiv number and the DOI in the registry's text; empty where it has none."""
    arxiv = re.search(r"arXiv:\s*(\d{4}\.\d{4,5})", paper, re.IGNORECASE)
    doi = re.search(r"\b10\.\d{4,9}/\S+", paper)
    return arxiv[1] if arxiv else "", doi[0] if doi else ""


def _add_set(found: Bibliography, name: str, known: dict[str, str]) -> None:
    try:
        card = card_of(place_of(name))
    except UnknownDatasetError:  # of an archive, whose card is not here
        found.unknown.append(name)
        return
    source = card.source
    if source.where == "bundled":
        return
    for key in source.cites:
        found.add(known[key], card.title)
    if not source.cites and source.citation:
        key = re.sub(r"\W+", "_", card.name).strip("_")
        title = {"title": f"{{{card.title}}}", "note": source.citation}
        where = {"howpublished": f"\\url{{{source.where}}}"} if "://" in source.where else {}
        found.add(_entry("misc", key, title | where), card.title)
    elif not source.cites:
        found.unknown.append(name)


def _add_weights(
    found: Bibliography, given: Pretraining, plan: Plan, known: dict[str, str]
) -> None:
    layout = str(given.config.get("layout", ""))
    file = Path(plan.files[given.key].path).name if given.key in plan.files else "given weights"
    use = f"{file}: a file with this layout; cite the source of other weights too"
    if layout in LAYOUTS:
        found.add(known[LAYOUTS[layout]], use)
    elif file not in found.unknown:
        found.unknown.append(file)


def _entry(kind: str, key: str, values: dict[str, str]) -> str:
    lines = ",\n".join(f"  {name} = {{{value}}}" for name, value in values.items())
    return f"@{kind}{{{key},\n{lines}\n}}"
