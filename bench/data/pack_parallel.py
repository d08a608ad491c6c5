"""Pack the chips of a listing on several cores, in the order of the listing.

Threads wait for files that are on a slow network drive. Processes decode, crop and digest, of which
a part holds Python's lock; they write pixels themselves, since copying them to another process
takes a third of the time of packing. The result does not depend on the number of either.
"""

import signal
from collections import deque
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import (
    CancelledError,
    Executor,
    Future,
    ProcessPoolExecutor,
    ThreadPoolExecutor,
)
from concurrent.futures.process import BrokenProcessPool
from functools import partial
from multiprocessing import forkserver, get_context, resource_tracker
from pathlib import Path
from typing import Any, TypeVar

import numpy as np

from ..machine import keep_freed_memory, start_worker
from .files import ImageFile
from .packing import PackedChip, pack_entry, size_only, without_pixels
from .source import Card, Entry
from .unreadable_image import UnreadableImageError

THREADS = 8  # of a process without others
THREADS_EACH = 4  # of each of several processes
PART = 8  # chips of a task for a thread
CHUNK = 64  # chips of a task for a process
UNKNOWN, FAILED = -1, -2  # in place of the end of a chunk
AHEAD = 4  # tasks for each thread or process that are started before their results are needed
# Chips for which other processes are started: it takes as long as a thousand chips of 256 px.
FEWEST = 4096

Packed = PackedChip | UnreadableImageError
Sent = tuple[Any, ...]  # what a process found out about a chip, without its pixels
T = TypeVar("T")


def starts_processes(count: int, processes: int) -> bool:
    """Return whether a set of so many files is packed by other processes, and get them ready.

    A process that imports what they need starts while files are listed; they are its copies.
    """
    if min(processes, count // CHUNK) <= 1 or count < FEWEST:
        return False
    get_context("forkserver").set_forkserver_preload([__name__])
    resource_tracker.ensure_running()  # it would end the block
    blocked = signal.pthread_sigmask(signal.SIG_BLOCK, {signal.SIGINT})  # for all of its copies
    try:
        forkserver.ensure_running()
    finally:
        signal.pthread_sigmask(signal.SIG_SETMASK, blocked)
    return True


def pack_all(
    card: Card, entries: Sequence[Entry], target: Path | None = None, processes: int = 1
) -> Iterator[Packed]:
    """Yield each chip without its pixels, or the error of its file, in the order of `entries`.

    Args:
        card: The set.
        entries: Its chips.
        target: A new file for the pixels of all chips, one after the other; None writes none.
        processes: Largest number of processes; 1 packs in threads of this one.

    Raises:
        OSError: The pixels cannot be written.
    """
    if target is not None:
        target.touch()
    done = size = 0
    plain = all(type(entry.file) is ImageFile for entry in entries)  # not simulated
    if plain and starts_processes(len(entries), processes):
        try:
            for chip in _in_processes(card, entries, target, processes):
                yield chip
                done += 1
                size += chip.pixels.nbytes if isinstance(chip, PackedChip) else 0
            return
        except BrokenProcessPool:  # a process was killed: the rest is packed here
            pass
    with ThreadPoolExecutor(THREADS) as pool:
        rest = _in_threads(pool, card, entries[done:], THREADS)
        yield from rest if target is None else _written(rest, target, size)


def pack_entries(
    card: Card, entries: Sequence[Entry], target: Path, processes: int = 1
) -> Iterator[PackedChip]:
    """Yield each chip without its pixels, which are written; arguments as of `pack_all`.

    Raises:
        UnreadableImageError: A file cannot be used.
    """
    for chip in pack_all(card, entries, target, processes):
        if isinstance(chip, UnreadableImageError):
            raise chip
        yield chip


def _in_threads(
    pool: ThreadPoolExecutor, card: Card, entries: Sequence[Entry], threads: int
) -> Iterator[Packed]:
    parts = [entries[start : start + PART] for start in range(0, len(entries), PART)]
    return _in_order(pool, partial(_pack_part, card), parts, threads)


def _pack_part(card: Card, entries: Sequence[Entry]) -> list[Packed]:
    found: list[Packed] = []
    for entry in entries:
        try:
            found.append(pack_entry(card, entry))
        except UnreadableImageError as error:
            found.append(error)
    return found


def _written(chips: Iterator[Packed], target: Path, start: int) -> Iterator[Packed]:
    """Write the pixels of chips from a byte of a file on; yield the chips without them."""
    with target.open("r+b") as file:
        file.seek(start)
        for chip in chips:
            if isinstance(chip, UnreadableImageError):
                yield chip
                continue
            file.write(chip.pixels.data)
            yield without_pixels(chip)


def _in_processes(
    card: Card, entries: Sequence[Entry], target: Path | None, processes: int
) -> Iterator[Packed]:
    context = get_context("forkserver")
    chunks = [entries[start : start + CHUNK] for start in range(0, len(entries), CHUNK)]
    ends = context.RawArray("q", len(chunks) + 1)  # of each chunk in the file
    ends[:] = [0, *[UNKNOWN] * len(chunks)]
    shared = (context.Condition(), ends)
    with ProcessPoolExecutor(processes, context, _start, shared) as pool:
        work = partial(_pack_chunk, card, target)
        found = _in_order(pool, work, list(enumerate(chunks)), processes)
        for entry, sent in zip(entries, found, strict=True):
            yield sent if isinstance(sent, UnreadableImageError) else _received(entry, *sent)


# Of a process that packs: its threads, and the condition and the ends of chunks that all share.
_shared: list[Any] = []


def _start(*shared: Any) -> None:
    start_worker()
    _shared[:] = ThreadPoolExecutor(THREADS_EACH), *shared
    keep_freed_memory(1 << 28, 1 << 25)  # of a chunk for the next one


def _pack_chunk(
    card: Card, target: Path | None, chunk: tuple[int, Sequence[Entry]]
) -> list[Sent | UnreadableImageError]:
    """Pack a chunk in a process of its own, and write its pixels where the chunk before ends."""
    number, entries = chunk
    threads, changed, ends = _shared
    found, size = list[Packed](), FAILED
    try:
        found += _in_threads(threads, card, entries, THREADS_EACH)
        pixels = [one.pixels for one in found if isinstance(one, PackedChip)]
        size = sum(one.nbytes for one in pixels)
    finally:  # processes with later chunks wait
        with changed:
            changed.wait_for(lambda: ends[number] != UNKNOWN)
            failed = FAILED in (ends[number], size)
            ends[number + 1] = FAILED if failed else ends[number] + size
            changed.notify_all()
    if failed:
        raise CancelledError
    if target is not None and pixels:
        with target.open("r+b") as file:
            file.seek(ends[number])
            for one in pixels:
                file.write(np.ascontiguousarray(one).data)
    return [one if isinstance(one, UnreadableImageError) else _sent(one) for one in found]


def _sent(chip: PackedChip) -> Sent:
    """Return what the other process does not know, without pixels, which it would copy."""
    shape, dtype = chip.pixels.shape, chip.pixels.dtype.name
    return shape, dtype, chip.source_size, chip.content, chip.facts, chip.digest


def _received(entry: Entry, shape: tuple[int, ...], dtype: str, *found: Any) -> PackedChip:
    source_size, content, facts, digest = found
    return PackedChip(
        entry.chip_id, entry.class_name, entry.is_test, size_only(shape, dtype), source_size,
        content, entry.group, facts, digest,
    )  # fmt: skip


def _in_order(
    pool: Executor, work: Callable[[Any], list[T]], tasks: Sequence[Any], workers: int
) -> Iterator[T]:
    """Yield the results of all tasks in their order; few tasks are started ahead."""
    waiting: deque[Future[list[T]]] = deque()
    left = iter(tasks)
    try:
        while True:
            for task in left:
                waiting.append(pool.submit(work, task))
                if len(waiting) >= AHEAD * workers:
                    break
            if not waiting:
                return
            yield from waiting.popleft().result()
    finally:
        for task in waiting:
            task.cancel()
