"""The training split of a data set as a pool with labels, and pools of single methods."""

import shutil
from collections import Counter
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from PIL import Image
from stores import link_synthetic, provenance, write_start

from sarbench.bench.data.find_set import describe_set, open_set
from sarbench.bench.data.names import card_of, full_name, split_name
from sarbench.bench.data.packed import Summary
from sarbench.bench.data.pools import Pool, open_pool
from sarbench.bench.data.prepare import NotPreparedError, prepare, summary
from sarbench.bench.data.registry import UnknownDatasetError
from sarbench.bench.data.set_descriptions import descriptions_of
from sarbench.bench.data.sharing import Sharing, count_sharing
from sarbench.bench.data.sources import sar_acd, synthetic
from sarbench.bench.execution.job_chips import pool_of_job
from sarbench.bench.grid.expand import pretrainings
from sarbench.bench.grid.schema import GridError, read_grid
from sarbench.bench.identity import Pretraining, pool_count
from sarbench.bench.method_facts.method_info import describe
from sarbench.bench.plan.comparability import differences
from sarbench.bench.plan.cost_estimate import Costs
from sarbench.bench.plan.overlaps import OverlapError
from sarbench.bench.plan.plan import Plan, make_plan
from sarbench.bench.reporting.notes import notes
from sarbench.bench.reporting.published import setup_of
from sarbench.bench.slurm.job_arrays import Limits, make_arrays
from sarbench.bench.store.progress import steps_of
from sarbench.bench.store.records import Store
from sarbench.bench.verification.merge import merge
from sarbench.bench.verification.verify_pretraining import encoder_problems
from sarbench.results.record import PretrainRecord, digest_json

VEHICLES = sorted(synthetic.VEHICLES)
GRID = """
name = "own"
methods = {methods}
[pretrain]
encoder = "vit_nano"
recipe = "quick"
{pretrain}
[evaluate]
seeds = 1
[evaluate.protocols]
knn = [5]
"""
OWN = '["mae", {name = "fg_mae", pool = ["synthetic:train"]}]'


@pytest.fixture(scope="module")
def packed(tmp_path_factory: pytest.TempPathFactory) -> Store:
    """A store with the packed synthetic sets and nothing else."""
    store = Store(tmp_path_factory.mktemp("packed"))
    link_synthetic(store)
    return store


def known(store: Store, name: str = "synthetic") -> Summary:
    given, pool = split_name(name)
    found = summary(given, store.root, store.prepared, pool=pool)
    assert found is not None
    return found


def opened(store: Store, *names: str, cap: int | None = None, fraction: float = 1.0) -> Pool:
    found = [known(store, f"pool:{name}") for name in names]
    digests = [(one.data_digest, one.split_digest) for one in found]
    return open_pool(names, digests, store.prepared, cap, fraction)


def planned(store: Store, folder: Path, methods: str = OWN, pretrain: str = "") -> Plan:
    path = folder / "grid.toml"
    path.write_text(GRID.format(methods=methods, pretrain=pretrain))
    return make_plan(read_grid(path), store, folder / "data")


def class_of(chip_id: str) -> str:
    """Return the class in the id of a synthetic chip such as `tank_truck_train_001`."""
    return chip_id.rsplit("_", 2)[0]


def test_the_pool_of_a_training_split_holds_every_training_chip_with_its_class(packed: Store):
    pool = opened(packed, "synthetic:train")
    expected = sorted(f"{name}_train_{n:03d}" for name in VEHICLES for n in range(40))
    assert pool.ids() == expected
    assert pool.classes == tuple(VEHICLES)
    assert pool.labels.dtype == np.int64
    assert [VEHICLES[label] for label in pool.labels] == [class_of(i) for i in expected]
    chips = prepare("synthetic", packed.root, packed.prepared).chips
    row = chips.ids.tolist().index("tank_truck_train_007")
    assert np.array_equal(pool.chip(expected.index("tank_truck_train_007")), chips.chip(row))


def test_labels_follow_the_draw(packed: Store):
    pool = opened(packed, "synthetic:train", cap=100, fraction=0.5)
    assert len(pool) == 50
    assert [VEHICLES[label] for label in pool.labels] == [class_of(i) for i in pool.ids()]
    assert pool.members[0].name == "synthetic:train"
    assert pool.members[0].count == 50
    assert len(Counter(pool.labels.tolist())) > 1


def test_only_one_training_split_alone_has_labels(packed: Store):
    for names in (("synthetic",), ("synthetic", "synthetic:train")):
        pool = opened(packed, *names)
        assert pool.labels is None
        assert pool.classes == ()
    assert len(pool) == 10 * synthetic.POOL_PER_CLASS + synthetic.POOL_EMPTY + 400
    whole = Pool([prepare("synthetic", packed.root, packed.prepared).chips])
    assert whole.labels is None  # it holds test chips


def test_a_training_split_is_opened_by_its_split_digest_too(packed: Store):
    data = known(packed).data_digest
    with pytest.raises(NotPreparedError):
        open_pool(["synthetic:train"], [(data, "0" * 64)], packed.prepared)


@pytest.mark.parametrize(
    ("name", "message"),
    [
        ("mstar_soc:test", "'mstar_soc:test' is not a training split.*write 'mstar_soc:train'"),
        ("mstar_soc:trian", "write 'mstar_soc:train'"),
        ("mstar_soc:train?rendering=raw/log", r"write 'mstar_soc\?rendering=raw/log:train'"),
        ("folder:ships:train?crop=96", r"write 'folder:ships\?crop=96:train'"),
        ("mstar_sco:train", "did you mean 'mstar_soc:train'"),
        ("msar:train", "'msar' is a pool, which has no split: write 'msar'"),
        ("tsx:train", "NAME one of mstar_soc, .*, synthetic; `sarbench data ls`"),
        ("pool:synthetic:test", "write 'synthetic:train'"),
        ("pool:mstar_soc", r"unknown pool 'mstar_soc'.*'mstar_soc:train'"),
    ],
)
def test_other_parts_and_unknown_data_sets_are_refused_with_a_near_name(name: str, message: str):
    with pytest.raises(UnknownDatasetError, match=message):
        card_of(name)


def test_a_training_split_names_the_files_of_its_data_set(packed: Store, tmp_path: Path):
    for given in ("synthetic:train", "pool:synthetic:train"):
        assert split_name(given) == ("synthetic", False)
        assert full_name(given) == "synthetic"
    assert full_name("pool:sar_acd/six_classes:train") == "sar_acd/six_classes"
    assert full_name("folder:chips:train") == "folder:chips"
    assert full_name("pool:folder:chips") == "pool:folder:chips"
    name, pool = split_name("pool:synthetic:train")
    before = sorted(packed.prepared.rglob("*"))
    assert len(prepare(name, tmp_path, packed.prepared, pool=pool).chips) == 1600
    assert sorted(packed.prepared.rglob("*")) == before  # nothing is packed twice


def test_a_training_split_has_five_keys_and_other_pools_keep_their_key(
    packed: Store, tmp_path: Path
):
    data = known(packed)
    _, own, *_ = planned(packed, tmp_path).pretrain
    assert own.planned.identity.pool == [{
        "name": "synthetic:train", "digest": data.data_digest, "count": 400,
        "split": data.split_digest, "classes": 10,
    }]  # fmt: skip
    # Keys of the commit before pools could be training splits, for this very grid.
    path = tmp_path / "before.toml"
    pretrain = 'pool = ["synthetic", "sample"]\npool_cap = 500\npool_fraction = [0.5, 1.0]'
    path.write_text(GRID.format(methods='["mae"]', pretrain=pretrain))
    grid = read_grid(path)
    made_up = replace(known(packed, "pool:synthetic"), count=900, data_digest="d" * 64)
    methods = describe(grid.method_names(), tmp_path)
    starts = pretrainings(
        grid, methods, lambda name: replace(made_up, name=name.removeprefix("pool:"))
    )
    assert [start.identity.key[:12] for start in starts] == [
        "dbeba7feec08", "c00da67d5c81", "415c2dfde677", "72ab46b0eb9f",
    ]  # fmt: skip


def test_a_training_split_shares_all_training_chips_and_no_test_chip_with_its_data_set(
    packed: Store,
):
    chips = prepare("synthetic", packed.root, packed.prepared).chips
    found = count_sharing(opened(packed, "synthetic:train"), chips)
    assert found == Sharing((400,), 0, 400, 0, 0, depressions_deg=(), test_depressions_deg=())


def test_a_plan_reads_and_prepares_the_pools_that_entries_name(packed: Store, tmp_path: Path):
    plan = planned(packed, tmp_path)
    assert plan.needs() == ["synthetic", "pool:synthetic"]
    alone = '[{name = "mae", pool = ["synthetic:train"]}]'
    empty = Store(tmp_path / "empty")
    for methods, expected in ((OWN, plan.needs()), (alone, ["synthetic"])):
        fresh = planned(empty, tmp_path, methods, 'pool = ["synthetic"]')
        assert fresh.to_prepare() == expected
    trained = [entry.planned for entry in plan.pretrain if entry.planned.pool]
    assert [start.pool for start in trained] == [["synthetic"], ["synthetic:train"]]
    pools = {job.label: job.pool for job in plan.jobs()}
    assert (pools["FG-MAE"], pools["Random init"]) == (["synthetic:train"], [])
    limits = Limits(10, {"pretrain": 1, "evaluate": 1}, 60.0)
    keys = {str(entry.key) for entry in (*plan.pretrain, *plan.runs)}
    arrays = make_arrays(plan, keys, set(), limits)
    handed = [job for array in arrays for work in array.jobs for job in work]
    assert {job.label: job.pool for job in handed} == pools
    (job,) = (job for job in plan.jobs() if job.label == "FG-MAE")
    assert len(pool_of_job(job, packed).labels) == 400


def test_a_grid_of_one_training_split_reads_one_set(packed: Store, tmp_path: Path):
    plan = planned(packed, tmp_path, '["mae"]', 'pool = ["synthetic:train"]')
    assert plan.needs() == ["synthetic"]
    assert len(plan.pretrain[0].planned.identity.pool) == 1


@pytest.mark.parametrize(
    ("methods", "pretrain", "message"),
    [
        ('["mae"]', 'pool = ["mstar_soc:test"]', "pretrain.pool: 'mstar_soc:test' is not"),
        ('[{name = "mae", pool = ["synthetik"]}]', "", r"mae.pool: unknown .* mean 'synthetic'"),
        ('[{name = "mae", pool = []}]', "", "mae.pool has no pool"),
        ('[{name = "mae", pool = ["sample", "sample"]}]', "", "mae.pool has 'sample' more"),
        ('[{name = "raw_pixels", pool = ["sample"]}]', "", "a control.* remove its `pool`"),
        (
            '["mae", {name = "fg_mae", pool = ["synthetic:train"]}]',
            "batch = 401",
            r"the pool of fg_mae \(synthetic:train\) has 400",
        ),
        ('["mae", "mae"]', "", "two methods have the label 'MAE'"),
    ],
)
def test_a_pool_that_cannot_be_used_is_refused(
    packed: Store, tmp_path: Path, methods: str, pretrain: str, message: str
):
    with pytest.raises(GridError, match=message):
        planned(packed, tmp_path, methods, pretrain)


def test_a_label_names_the_pool_only_if_two_rows_differ_in_it(packed: Store, tmp_path: Path):
    both = '["mae", {name = "mae", pool = ["synthetic:train"]}]'
    rows = [entry.planned.row for entry in planned(packed, tmp_path, both).pretrain]
    assert rows[:2] == ["MAE", "MAE, pool synthetic:train"]
    rows = [entry.planned.row for entry in planned(packed, tmp_path).pretrain]
    assert rows[:2] == ["MAE", "FG-MAE"]


def test_captions_say_that_a_pool_is_a_labelled_training_split(packed: Store, tmp_path: Path):
    plan = planned(packed, tmp_path, pretrain="pool_cap = 64")
    lines = "\n".join(note.text for note in notes(plan))
    assert "64 chips of synthetic:train (the training split of synthetic, labelled)" in lines
    assert "synthetic: the pool synthetic:train holds no test chip and 64 of its training" in lines
    assert "synthetic: the pool synthetic holds no test chip and no training chip" in lines
    pools = differences(plan)["Pools"]
    assert "synthetic, capped at 64: MAE. synthetic:train, capped at 64: FG-MAE" in pools
    assert setup_of(plan)["pool"] == "synthetic; synthetic:train"
    mixed = planned(packed, tmp_path, '["mae"]', 'pool = ["synthetic", "synthetic:train"]')
    assert "400 of synthetic:train (the training split of synthetic)." in "\n".join(
        note.text for note in notes(mixed)
    )
    assert setup_of(mixed)["pool"] == ["synthetic", "synthetic:train"]


def test_the_pool_of_one_entry_that_holds_test_chips_is_refused(packed: Store, tmp_path: Path):
    chips = prepare("synthetic", packed.root, packed.prepared).chips
    tested = np.flatnonzero(chips.is_test)[:3].tolist()
    for number, row in enumerate([*tested, *np.flatnonzero(~chips.is_test)[:30].tolist()]):
        path = tmp_path / f"data/copies/{number}.png"
        path.parent.mkdir(parents=True, exist_ok=True)
        Image.fromarray(np.array(chips.chip(row))).save(path)
    store = Store(tmp_path / "runs")
    shutil.copytree(packed.prepared, store.prepared)
    for given, pool in (("folder:copies", True), ("synthetic", False), ("synthetic", True)):
        prepare(given, tmp_path / "data", store.prepared, pool=pool)
    methods = '["mae", {name = "fg_mae", pool = ["folder:copies"]}]'
    with pytest.raises(OverlapError, match=r"pool folder:copies holds 3 test chips of synthetic"):
        planned(store, tmp_path, methods)
    plan = planned(store, tmp_path, methods, "allow_overlap = true")
    assert plan.overlaps == ["the pool folder:copies holds 3 test chips of synthetic"]
    text = "the pool folder:copies holds 3 of its test chips (allowed by the grid) and 30 of its"
    assert any(text in note.text for note in notes(plan))


def test_steps_costs_and_the_drawn_pool_agree_on_the_number_of_chips(packed: Store, tmp_path: Path):
    assert pool_count(10, None, 1.0) == 10
    assert pool_count(10, 7, 0.5) == 4  # 3.5, to the even number
    plan = planned(packed, tmp_path, OWN, "pool_cap = 300\npool_fraction = [0.3, 1.0]\nepochs = 3")
    for entry in plan.pretrain:
        identity: Pretraining = entry.planned.identity
        if not entry.planned.pool:
            assert (identity.pool_count, steps_of(identity)) == (0, 0)
            continue
        size = len(opened(packed, *entry.planned.pool, cap=300, fraction=identity.pool_fraction))
        assert identity.pool_count == size == round(300 * identity.pool_fraction)
        assert steps_of(identity) == size // 32 * 3
        rough = Costs(plan).pretraining_s(entry.planned)[0]
        assert rough == pytest.approx(size * 3 / 400)  # chips per second in the table


def start_record(**changes: object) -> PretrainRecord:
    member = {"name": "synthetic:train", "digest": "d" * 64, "count": 400} | changes
    identity = {"method": "mae", "pool": [member]}
    return PretrainRecord(
        key=digest_json(identity), identity=identity, provenance=provenance(),
        weights_digest="w" * 64, steps=1, images_per_s=1.0, final_loss=1.0, feature_spread=0.1,
    )  # fmt: skip


@pytest.mark.parametrize(
    ("member", "kind"),
    [
        ({}, "missing"),
        ({"split": "s" * 64, "classes": 10}, "missing"),
        ({"split": "s" * 64}, "identity"),
        ({"classes": 10}, "identity"),
        ({"split": "s" * 64, "classes": "10"}, "identity"),
        ({"split": None, "classes": 10}, "identity"),
        ({"path": "x"}, "identity"),
    ],
)
def test_a_member_has_three_keys_or_five(tmp_path: Path, member: dict, kind: str):
    (found,) = encoder_problems(start_record(**member), tmp_path / "encoder.safetensors")
    assert found.kind == kind  # `missing`: the identity is well formed, the weights are not there


def store_of_one(packed: Store, folder: Path) -> tuple[Store, Plan]:
    """Return a store with the record of a pretraining on `synthetic:train`, and its plan."""
    store = Store(folder / "theirs")
    shutil.copytree(packed.prepared, store.prepared)
    methods = '[{name = "mae", pool = ["synthetic:train"]}]'
    plan = planned(store, folder, methods)
    write_start(store, plan.pretrain[0].planned)
    describe_set("synthetic", plan.data["synthetic"], store.root)
    return store, planned(store, folder, methods)


def test_a_store_without_data_still_knows_the_training_split(packed: Store, tmp_path: Path):
    store, before = store_of_one(packed, tmp_path)
    assert before.pretrain[0].state == "done"
    shutil.rmtree(store.prepared)
    after = make_plan(before.grid, store, tmp_path / "nowhere")
    assert after.pretrain[0].state == "done"
    assert after.pretrain[0].key == before.pretrain[0].key
    assert after.unpacked == ["synthetic"]
    assert any(
        "400 chips of synthetic:train" in note.text for note in notes(after)
    )  # counted before


def test_merging_copies_the_description_of_the_data_set(packed: Store, tmp_path: Path):
    store, plan = store_of_one(packed, tmp_path)
    mine = Store(tmp_path / "mine")
    found = merge(store, mine)
    assert (len(found.added), found.sets, found.refused) == (1, ["synthetic"], [])
    (one,) = descriptions_of(mine.root, "synthetic")
    assert one.summary == plan.data["synthetic"]
    assert len(one.split.ids) == 1600


def test_merging_refuses_a_description_with_another_number_of_training_chips(
    packed: Store, tmp_path: Path
):
    store, plan = store_of_one(packed, tmp_path)
    planned_start = plan.pretrain[0].planned
    member = planned_start.identity.pool[0] | {"count": 1000}  # that of the whole data set
    shutil.rmtree(store.root / "pretrain")
    write_start(store, replace(planned_start, identity=replace(
        planned_start.identity, pool=[member]
    )))  # fmt: skip
    found = merge(store, Store(tmp_path / "mine"))
    assert found.sets == []
    assert "claims 400 chips, the pretrainings on it 1000" in found.refused[0][1]


@pytest.mark.slow
def test_a_real_training_split_shares_no_chip_with_its_own_test_set(real_data, tmp_path: Path):
    names = ("mstar_soc", "mstar_soc/all_serials", "sar_acd", "sar_acd/paper_random")
    store = Store(tmp_path)
    for name in names:
        prepare(name, real_data, store.prepared)

    def found(name: str) -> Summary:
        result = summary(name, real_data, store.prepared)
        assert result is not None
        return result

    def shared(pool: str, dataset: str) -> Sharing:
        source = found(pool)
        digests = [(source.data_digest, source.split_digest)]
        drawn = open_pool([f"{pool}:train"], digests, store.prepared)
        assert drawn.classes == source.classes
        counts = Counter(drawn.classes[label] for label in drawn.labels)
        assert counts == source.counts["train"]
        return count_sharing(drawn, open_set(dataset, found(dataset), store.root))

    # The vehicles of the training chips are those of the test chips: one serial of each class.
    soc = Sharing((2747,), test=0, train=2747, vehicles=10, vehicle_chips=2747)
    assert shared("mstar_soc", "mstar_soc").agrees(soc)
    assert shared("mstar_soc", "mstar_soc/all_serials").test == 0
    assert shared("sar_acd", "sar_acd").agrees(Sharing((1262,), 0, 1262, 0, 0))
    random, images = "sar_acd/paper_random", real_data / "sar_acd" / "images"
    side: dict[bytes, set[bool]] = {}
    for chip_id, (_, is_test) in sar_acd.members(random).items():
        side.setdefault((images / f"{chip_id}.jpg").read_bytes(), set()).add(is_test)
    assert shared(random, random).test == sum(len(sides) == 2 for sides in side.values()) == 3
