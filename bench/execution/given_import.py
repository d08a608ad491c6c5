"""The import of given weights: in a job, the pretraining or the work before it."""

import platform
from pathlib import Path

from ...results.record import GivenSource
from ..given_file import GivenFile
from ..given_identity import weights_of
from ..identity import Pretraining, Resources
from ..store.records import Store
from ..weights.find_encoder import find_encoder
from ..weights.storing import store_given


class OtherWeightsError(ValueError):
    """A file of weights that is missing, or that changed after the plan was made."""

    failure_class = "data"


def import_given(
    identity: Pretraining, file: GivenFile, store: Store, resources: Resources
) -> None:
    """Store the encoder of a file, with its record, as that of a pretraining.

    A pretraining that continues from the weights finds them there, without the file from then on.

    Raises:
        OtherWeightsError: The file is missing here, or holds another encoder than planned.
        WeightsFileError: The file cannot be read.
    """
    identity = weights_of(identity)
    if store.read("pretrain", identity.key) and store.encoder(identity.key).exists():
        return
    path = Path(file.path)
    if not path.exists():
        raise OtherWeightsError(
            f"{path} is not visible on {platform.node()}; put it on a file system that the job can "
            "read, and run the grid again"
        )
    found = find_encoder(path, file.stated)
    if found.identity().key != identity.key:
        raise OtherWeightsError(
            f"{path} holds weights {found.config.digest[:12]}, but the plan was made for "
            f"{identity.config['digest'][:12]}; run the grid again to measure the file as it is now"
        )
    store_given(found, store, resources, GivenSource(file=path.name))
