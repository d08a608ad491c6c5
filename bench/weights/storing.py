"""Given weights as the encoder of a store, where evaluation and figures find it."""

from ...results.record import GivenSource, PretrainRecord
from ..identity import Resources
from ..method_facts.architecture import architecture_of
from ..store.provenance import Clock
from ..store.records import Store
from ..store.weights import save_encoder
from .given_weights import GivenWeights


def store_given(
    given: GivenWeights, store: Store, resources: Resources, source: GivenSource | None = None
) -> PretrainRecord:
    """Write the encoder of a file and its record, unless the store has them.

    `source` is the file and what is declared about it.

    Raises:
        UnaccountedKeysError: A key of the file is unaccounted, or a weight is missing.
    """
    identity = given.identity()
    stored = store.read("pretrain", identity.key)
    if stored is not None and store.encoder(identity.key).exists():
        return stored
    clock = Clock(resources)
    network = given.network()
    store.folder("pretrain", identity.key).mkdir(parents=True, exist_ok=True)
    record = PretrainRecord(
        key=identity.key,
        identity=identity.to_json(),
        provenance=clock.provenance(),
        weights_digest=save_encoder(store.encoder(identity.key), network, identity),
        steps=0,
        images_per_s=0.0,
        final_loss=None,
        feature_spread=None,
        architecture=architecture_of(identity),
        given=source,
    )
    store.write("pretrain", record)  # keeps a record that came without its weights
    return record
