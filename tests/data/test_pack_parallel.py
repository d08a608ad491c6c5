"""Chips are packed in the same order and bytes by threads and by several processes."""

import multiprocessing
import shutil
import threading
from concurrent.futures import CancelledError, ThreadPoolExecutor
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from chips import write_images

from sarbench.bench.data import pack_parallel
from sarbench.bench.data.files import open_source
from sarbench.bench.data.images import decode_image
from sarbench.bench.data.listing import list_chips
from sarbench.bench.data.pack_parallel import pack_all, pack_entries
from sarbench.bench.data.prepare import prepare
from sarbench.bench.data.registry import card
from sarbench.bench.data.source import Entry
from sarbench.bench.data.unreadable_image import UnreadableImageError

POOL = card("folder:pool", pool=True)


@pytest.fixture
def pool(tmp_path: Path) -> Path:
    """Write 40 chips of two sizes."""
    write_images(tmp_path / "pool", *(f"{n:02d}.png" for n in range(25)))
    write_images(tmp_path / "pool", *(f"{n:02d}.png" for n in range(25, 40)), side=12)
    return tmp_path / "pool"


def entries_of(folder: Path) -> list[Entry]:
    with open_source(folder) as files:
        return list_chips(POOL, folder, files).entries


def expected(entries: list[Entry]) -> bytes:
    images = [decode_image(one.file.read_bytes(), one.chip_id) for one in entries]
    return b"".join(image.tobytes() for image in images)


def test_threads_write_the_pixels_in_order(pool: Path, tmp_path: Path):
    entries = entries_of(pool)
    chips = list(pack_entries(POOL, entries, tmp_path / "pixels"))
    assert [chip.chip_id for chip in chips] == [f"{n:02d}.png" for n in range(40)]
    assert [chip.pixels.shape[0] for chip in chips] == [16] * 25 + [12] * 15
    assert (tmp_path / "pixels").read_bytes() == expected(entries)


def test_each_chunk_is_written_where_the_one_before_ends(pool: Path, tmp_path: Path):
    entries = entries_of(pool)
    (pool / "07.png").write_bytes(b"no image")
    target = tmp_path / "pixels"
    target.touch()
    ends = [0, -1, -1, -1]
    pack_parallel._shared[:] = ThreadPoolExecutor(2), threading.Condition(), ends
    sent: dict[int, list] = {}

    def pack(number: int) -> None:
        part = entries[16 * number : 16 * number + 16]
        sent[number] = pack_parallel._pack_chunk(POOL, target, (number, part))

    threads = [threading.Thread(target=pack, args=(number,)) for number in (2, 1, 0)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(60)
    entries.pop(7)
    assert target.read_bytes() == expected(entries)
    assert isinstance(sent[0][7], UnreadableImageError)
    assert sent[2][-1][:2] == ((12, 12), "uint8")


def test_chunks_after_one_that_fails_do_not_wait_for_it(pool: Path, tmp_path: Path):
    """The first chunk fails by an error that no file explains."""
    (tmp_path / "pixels").touch()
    ends = [0, -1, -1, -1]
    pack_parallel._shared[:] = ThreadPoolExecutor(2), threading.Condition(), ends
    broken = [replace(one, file=None) for one in entries_of(pool)]
    with pytest.raises(AttributeError):
        pack_parallel._pack_chunk(POOL, tmp_path / "pixels", (0, broken[:4]))
    for number in (1, 2):
        with pytest.raises(CancelledError):
            pack_parallel._pack_chunk(POOL, tmp_path / "pixels", (number, entries_of(pool)[:4]))
    assert ends == [0, -2, -2, -2]


def test_an_unreadable_file_is_an_error_at_its_place(pool: Path, tmp_path: Path):
    (pool / "07.png").write_bytes(b"no image")
    found = list(pack_all(POOL, entries_of(pool)))
    assert [index for index, one in enumerate(found) if isinstance(one, Exception)] == [7]
    with pytest.raises(UnreadableImageError, match=r"07.png: is not an image"):
        list(pack_entries(POOL, entries_of(pool), tmp_path / "pixels"))


@pytest.mark.slow
@pytest.mark.parametrize("source", ["folder", "zip"])
def test_the_digests_do_not_depend_on_the_number_of_processes(
    pool: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, source: str
):
    name = f"folder:{pool}"
    if source == "zip":
        name = f"folder:{shutil.make_archive(str(tmp_path / 'chips'), 'zip', pool)}"
    monkeypatch.setattr(pack_parallel, "FEWEST", 4)
    monkeypatch.setattr(pack_parallel, "CHUNK", 3)
    opened = [
        prepare(name, tmp_path, tmp_path / f"packed{n}", pool=True, processes=n).chips
        for n in (1, 2, 3)
    ]
    assert len({chips.data_digest for chips in opened}) == 1
    for chips in opened[1:]:
        assert np.array_equal(chips.pixels, opened[0].pixels)
        assert np.array_equal(chips.content, opened[0].content)


@pytest.mark.slow
def test_the_rest_is_packed_here_if_a_process_is_killed(
    pool: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
):
    entries = entries_of(pool)
    monkeypatch.setattr(pack_parallel, "FEWEST", 4)
    monkeypatch.setattr(pack_parallel, "CHUNK", 3)
    chips = pack_all(POOL, entries, tmp_path / "pixels", processes=2)
    found = [next(chips)]
    packing = multiprocessing.active_children()
    assert len(packing) == 2
    for child in packing:
        child.kill()
    found += chips
    assert len(found) == 40
    assert (tmp_path / "pixels").read_bytes() == expected(entries)
