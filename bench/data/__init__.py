"""Data sets and pools: from files on the disk to prepared chips.

`files` finds and reads images. `listing` gives each image its chip id, class and side of the split,
as its `source` says. `packing` crops and digests the pixels. `write_packed` writes a prepared set,
`packed` opens it, and it is read as `chips`. `prepare` calls them in this order.
"""
