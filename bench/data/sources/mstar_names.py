"""Names of MSTAR's splits and pools, and the option of a pool."""

# Pools, and how the names of the splits begin whose test chips they leave out.
POOLS = {"mstar_rest": "mstar_soc", "mstar_rest/without_eoc": "mstar_"}

OTHER_VEHICLES = "exclude_serials=test"  # option of a pool

TITLES = {  # name -> title, description
    "mstar_soc": (
        "MSTAR SOC",
        "Ten military vehicles, X band, 0.3 m; train at 17, test at 15 degrees depression. One "
        "serial number per class.",
    ),
    "mstar_soc/all_serials": (
        "MSTAR SOC, all serials",
        "As mstar_soc with three serial numbers each of BMP2 and T72.",
    ),
    "mstar_eoc_depression": (
        "MSTAR EOC depression",
        "Four classes; train at 17, test at 30 degrees depression.",
    ),
    "mstar_eoc_configuration": (
        "MSTAR EOC configuration",
        "Trained on four classes at 17 degrees, tested on T72 in other configurations.",
    ),
    "mstar_eoc_version": (
        "MSTAR EOC version",
        "Trained on four classes at 17 degrees, tested on other versions of BMP2 and T72.",
    ),
    "mstar_eoc_scene": (
        "MSTAR EOC scene",
        "Three classes; train in one scene, test in others, at 30 and 45 degrees together.",
    ),
}

POOL_TITLES = {  # name -> title, description, number of chips
    "mstar_rest": (
        "MSTAR without SOC test sets",
        "All MSTAR chips that are in no test set of mstar_soc, either variant. It shares chips "
        "with the test sets of mstar_eoc_*.",
        13_892,
    ),
    "mstar_rest/without_eoc": (
        "MSTAR without test sets",
        "All MSTAR chips that are in no test set at all.",
        6_497,
    ),
}
