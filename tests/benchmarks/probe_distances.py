"""Nearest neighbours of the probes by cosine and by Euclidean distance: a line of docs/probes.md.

python tests/benchmarks/probe_distances.py --data DIR
"""

import argparse
import tempfile
from pathlib import Path

import numpy as np
from sklearn.neighbors import KNeighborsClassifier

from sarbench.bench.data.prepare import prepare


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--data", type=Path, required=True)
    data = parser.parse_args().data
    with tempfile.TemporaryDirectory() as folder:
        chips = prepare("mstar_soc", data, Path(folder)).chips
        pixels = np.stack([np.asarray(chips.chip(row)) for row in range(len(chips))])
    images = pixels.astype(np.float32) / np.float32(chips.full_scale)
    square = np.zeros(images.shape[1:], bool)  # the middle 0.75 of each side of 128 px
    square[16:112, 16:112] = True
    train, test = ~chips.is_test, chips.is_test
    for name, kept in (("whole chip", square | True), ("target", square), ("background", ~square)):
        features, found = images[:, kept], []
        for metric in ("cosine", "euclidean"):
            nearest = KNeighborsClassifier(1, metric=metric, algorithm="brute")
            nearest.fit(features[train], chips.labels[train])
            score = nearest.score(features[test], chips.labels[test])
            found.append(f"{metric} {100 * score:.1f}%")
        print(f"{name}: {', '.join(found)}")


if __name__ == "__main__":
    main()
