"""ATRNet-STAR: civilian vehicles from a drone in X and Ku band, in the seven settings of ATRBench.

Written from the documentation of waterdisappear/ATRNet-STAR at ea78777 (README.md,
ATRBench/README.md, loaders) and not yet run on its files. The documentation gives neither the
numbers per class nor all class names. The names are from two public loaders, which agree.
`unconfirmed` below says what else is open.
"""

import re
from dataclasses import dataclass

from ..files import ImageFile, plain
from ..listing import DatasetMismatchError
from ..source import CROP_PX, Card, Entry, Listing, Source

TYPES = (
    "Buick_Excelle_GT", "Buick_GL8", "CNHTC_HOWO", "Chang'an_CS75_Plus", "Chang'an_Starlight_4500",
    "Changfeng_Cheetah_CFA6473C", "Changlin_8228-5", "Chery_Arrizo 5", "Chery_qq3",
    "Chevrolet_Blazer_1998", "Dongfeng_Duolika", "Dongfeng_EQ6608LTV", "Dongfeng_Forthing_Lingzhi",
    "Dongfeng_Tianjin_DFH2200B", "Dongfeng_Tianjin_KR230", "FAW_J6P", "FAW_Jiabao_T51",
    "Foton_BJ1045V9JB5-54", "Great_Wall_Voleex_C50", "Great_Wall_poer", "Hawtai_EV160B",
    "Hongqi_CA7180A3E", "Hongqi_h5", "Huanghai_N1", "Hyundai_HLF25_II", "JAC_Junling",
    "JINBEI_SY5033XJH", "Jeep_Patriot", "Lincoln_MKC", "Lveco_Proud_2009", "MAXUS_V80",
    "Mitsubishi_Outlander_2003", "SDLG_ZL40F", "SHACMAN_DeLong_M3000", "SHACMAN_DeLong_X3000",
    "WAW_Aochi_1800", "WAW_Aochi_Hongrui", "Wuling_Rongguang_V", "Yangzi_YZK6590XCA",
    "Yutong_ZK6120HY1",
)  # fmt: skip
MSTAR_CLASSES = 10  # in SOC-50, in addition
NAME = re.compile(  # band_polarisation_depression_azimuth_number
    r"(?P<band>X|KU)_(?P<polarisation>[HV]{2})_(?P<depression>\d+)_[^_]+_\d+", re.IGNORECASE
)
SUFFIXES = (".tif", ".tiff")  # of 8-bit chips in ground range; complex ones are MAT files


@dataclass(frozen=True)
class Setting:
    """A setting of ATRBench.

    Attributes:
        folder: Its folder.
        title: Its name in the documentation.
        what: Difference between train and test.
        sides: Published numbers of train and test chips; None if they are in doubt.
        condition: The part of a file name that separates train from test; empty if none does.
        trained: Its value for train chips; test chips have others.
    """

    folder: str
    title: str
    what: str
    sides: tuple[int, int] | None
    condition: str = ""
    trained: str = ""


SETTINGS = {
    "soc40": Setting("SOC_40classes", "SOC-40", "a random 7:3 split", (68_091, 29_284)),
    "soc50": Setting(
        "SOC_50classes", "SOC-50", "a random part in X band, and ten classes of MSTAR",
        (18_071, 17_603),
    ),
    "eoc_scene": Setting(
        "EOC_scene", "EOC-Scene",
        "train in sandstone and bare soil, test in city, factory and woodland", (19_584, 77_791),
    ),
    "eoc_depression": Setting(
        "EOC_depression", "EOC-Depression", "train at 15, test at 30, 45 and 60 degrees depression",
        None, "depression", "15",
    ),
    "eoc_azimuth": Setting(
        "EOC_azimuth", "EOC-Azimuth", "train at 0 to 60, test at 60 to 360 degrees azimuth",
        (18_636, 78_739),
    ),
    "eoc_band": Setting(
        "EOC_band", "EOC-Band", "train in X band, test in Ku band, without the city",
        (27_711, 27_763), "band", "X",
    ),
    "eoc_polarization": Setting(
        "EOC_pol", "EOC-Polarization", "train in HH, test in HV, VH and VV", (24_361, 73_014),
        "polarisation", "HH",
    ),
}  # fmt: skip


class AtrnetStar(Source):
    """The 8-bit chips in ground range, in the folders of their settings."""

    where = (
        "https://huggingface.co/datasets/waterdisappear/ATRNet-STAR (Ground_Range, 8 bits; unpack "
        "its 7z archives)"
    )
    licence = "Apache-2.0"
    citation = (
        "Y. Liu et al., ATRNet-STAR: a large dataset and benchmark towards remote sensing object "
        "recognition in the wild, IEEE TPAMI 2026, arXiv 2501.13354"
    )
    cites = ("liu2026atrnet",)
    layouts = (
        f"{'|'.join(setting.folder for setting in SETTINGS.values())}/train|test/<type>/"
        "<band>_<polarisation>_<depression>_<azimuth>_<number>.tif",
    )
    folders = ("atrnet_star", "NUDT4MSTAR", "Ground_Range", "Amplitude_8bit")
    markers = ("SOC_40classes", "SOC_50classes", "EOC_azimuth", "EOC_band", "EOC_pol")

    def cards(self) -> tuple[Card, ...]:
        """Return the seven settings."""
        return tuple(
            Card(
                f"atrnet_star_{name}", "dataset", f"ATRNet-STAR {setting.title}",
                f"{MSTAR_CLASSES * (name == 'soc50') + len(TYPES)} types, 0.12 to 0.15 m: "
                f"{setting.what}. {unconfirmed(name)}",
                self,
                crop_px=CROP_PX if name == "soc50" else None,  # MSTAR's chips have other sizes
                whole_px=None if name == "soc50" else CROP_PX,
                sides=setting.sides,
            )
            for name, setting in SETTINGS.items()
        )  # fmt: skip

    def place(self, card: Card, files: list[ImageFile], listing: Listing) -> None:
        """Read side and class of the chips below the folder of the setting; others are skipped.

        Raises:
            DatasetMismatchError: No chip is below `train` or `test` of that folder.
        """
        name = card.name.removeprefix("atrnet_star_")
        setting = SETTINGS[name]
        classes = {plain(one): one for one in TYPES}
        sides: dict[str, bool] = {}
        for file in files:
            parts = file.relative.parts
            below = parts[_behind(parts, setting.folder) :]
            if file.relative.suffix.lower() not in SUFFIXES or len(below) == len(parts):
                continue
            if len(below) == 3 and below[0].lower().startswith("test_"):
                continue  # a part of test, for scores of its own
            if len(below) != 3 or below[0].lower() not in ("train", "test"):
                listing.unexpected.append(str(file.relative))
                continue
            is_test, class_name = below[0].lower() == "test", classes.get(plain(below[1]), below[1])
            chip_id = f"{class_name}/{file.relative.stem}"
            problem = _problem(file.relative.stem, class_name, is_test, setting)
            if class_name not in TYPES and name != "soc50":
                problem = f"{class_name} is not one of the {len(TYPES)} types"
            if sides.setdefault(chip_id, is_test) != is_test:
                problem = "is in train and in test"
            if problem:
                listing.refused.append(f"{file.relative}: {problem}")
            else:
                listing.entries.append(Entry(chip_id, class_name, is_test, file))
        if not sides:
            raise DatasetMismatchError(
                f"{listing.source} holds no 8-bit chip of {card.name}; expected: "
                f"{setting.folder}/train|test/<type>/*.tif, at any depth. Unpack the archive of "
                "this setting (Ground_Range, 8 bits; the complex chips of Slant_Range are not "
                "read), or name its folder with --data"
            )
        found = {entry.class_name for entry in listing.entries}
        listing.missing += [f"every chip of {one}" for one in TYPES if one not in found]
        others = len(found - set(TYPES))
        if name == "soc50" and others != MSTAR_CLASSES:
            listing.missing.append(f"{MSTAR_CLASSES} classes of MSTAR (found {others})")


def unconfirmed(name: str) -> str:
    """Return the facts about a setting that its documentation leaves open."""
    bands = " The documentation names X band only, but its numbers are those of both bands."
    more = {
        "soc50": " Names and sizes of MSTAR's chips are unconfirmed.",
        "eoc_depression": (
            " So are those of train and test: the documentation has the numbers of "
            "EOC-Polarization for both."
        ),
        "eoc_azimuth": bands,
        "eoc_polarization": bands,
    }
    return f"Numbers of chips per type are unconfirmed.{more.get(name, '')}"


def _behind(parts: tuple[str, ...], folder: str) -> int:
    """Return the index behind the last folder of that name; 0 if there is none."""
    found = [i for i, part in enumerate(parts[:-1], start=1) if plain(part) == plain(folder)]
    return found[-1] if found else 0


def _problem(stem: str, class_name: str, is_test: bool, setting: Setting) -> str:
    """Return the contradiction between a file name and the side of its chip; empty if none."""
    if class_name not in TYPES:  # a chip of MSTAR has a name of MSTAR
        return ""
    match = NAME.fullmatch(stem)
    if match is None:
        return "its name is not <band>_<polarisation>_<depression>_<azimuth>_<number>"
    if not setting.condition or (match[setting.condition].upper() == setting.trained) != is_test:
        return ""
    allowed = f"{'other than ' if is_test else ''}{setting.trained}"
    return (
        f"its {setting.condition} is {match[setting.condition]}, but "
        f"{'test' if is_test else 'train'} chips of {setting.title} have {allowed}"
    )
