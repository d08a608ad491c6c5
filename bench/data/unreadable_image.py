"""The error for a file that cannot be read as an amplitude image."""


class UnreadableImageError(ValueError):
    """A file that cannot be read as one amplitude image."""

    failure_class = "data"
