"""The share of a batch that each process of a pretraining takes."""


class BatchShareError(ValueError):
    """A batch that its processes do not divide evenly."""


def batch_share(batch: int, processes: int) -> int:
    """Return the number of chips of a batch that each process takes.

    Raises:
        BatchShareError: The batch does not divide evenly.
    """
    if batch % processes:
        raise BatchShareError(
            f"{processes} processes do not divide a batch of {batch} evenly; change `batch`, "
            "or `gpus`, `nodes` or `processes` of the profile"
        )
    return batch // processes
