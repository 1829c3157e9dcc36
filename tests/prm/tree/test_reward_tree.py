"""The reward tree: insertion, merging, clustering and names, on vectors placed by hand and on the shipped paraphrases."""

from __future__ import annotations

import json
import subprocess
import sys
from dataclasses import replace

import numpy as np
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from reasongym.errors import DataError, PRMError, UnknownNameError
from reasongym.metrics import adjusted_rand
from reasongym.prm.tree.clustering import average_linkage, cut, halves
from reasongym.prm.tree.embedding import HashedEmbedder, embedded
from reasongym.prm.tree.growth import grow, merge, recluster
from reasongym.prm.tree.picture import draw_tree
from reasongym.prm.tree.thresholds import Thresholds, agreement, choose_thresholds, labelled_criteria
from reasongym.prm.tree.tree import Coarse, Fine, RewardTree, empty_tree, slug
from reasongym.seeding import rng


class Placed:
    """An embedder of texts such as "30 something": a unit vector at that many degrees."""

    id = "placed"

    def embed(self, texts):
        angles = np.radians([float(text.split()[0]) for text in texts])
        return np.stack([np.cos(angles), np.sin(angles)], axis=1)


PLACED = Placed()
NEAR = Thresholds(merge=0.01, coarse=0.1, aspect=0.1)
"""1 − cos 8° = 0.0097 merges, 1 − cos 25° = 0.094 is the same family, 1 − cos 26° = 0.101 is not."""


def shape(tree):
    """{coarse text: {fine wordings}} as sets, whatever the names."""
    return {frozenset(frozenset(fine.wordings) for fine in coarse.fine) for coarse in tree.coarse}


def groups(*coarse):
    return {frozenset(frozenset(f"{angle} x" for angle in fine) for fine in parts) for parts in coarse}


def planted(*angles, **keywords):
    return grow(empty_tree(PLACED, NEAR), [f"{angle} x" for angle in angles], PLACED, **keywords)


@pytest.mark.parametrize(
    ("angles", "expected"),
    [
        ((0,), [[[0]]]),
        ((0, 8), [[[0, 8]]]),  # within merge
        ((0, 9), [[[0], [9]]]),  # 0.0123: the same family
        ((0, 25), [[[0], [25]]]),
        ((0, 26), [[[0]], [[26]]]),  # beyond coarse
        ((0, 8, 12), [[[0, 8], [12]]]),  # 12 lies (0.0219 + 0.0024) / 2 = 0.0121 from {0, 8}: not merged
        ((90, 0, 91, 2), [[[90, 91]], [[0, 2]]]),
    ],
)
def test_insertion_one_by_one(angles, expected):
    assert shape(planted(*angles, recluster_all=False)) == groups(*expected)


def test_insertion_goes_to_the_nearest_not_the_first():
    """7 is within merge of both 0 (0.0075) and 13 (0.0055)."""
    assert shape(planted(0, 13, 7, recluster_all=False)) == groups([[0], [13, 7]])


def test_a_known_wording_is_counted():
    tree = planted(0, 90, 0, 0, recluster_all=False)
    assert {fine.text: fine.support for fine in tree.fine} == {"0 x": 3, "90 x": 1}
    assert tree.coarse[0].text == "0 x"  # the most supported comes first
    assert tree.generation == 1


def test_the_text_is_the_wording_nearest_to_all():
    assert planted(0, 3, 5).fine[0].text == "3 x"
    assert planted(0, 0, 0, 0, 3, 5).fine[0].text == "0 x"  # weighted by how often each was named


def test_clustering_again_forgets_the_order():
    """8 and 16 merge or not by order: 0, 8, 16 gives {0, 8}, {16}; 8, 16, 0 gives {8, 16}, {0}."""
    one, other = planted(0, 8, 16, recluster_all=False), planted(8, 16, 0, recluster_all=False)
    assert shape(one) == groups([[0, 8], [16]])
    assert shape(other) == groups([[8, 16], [0]])
    assert shape(recluster(one, PLACED)) == shape(recluster(other, PLACED))


def test_no_coarse_criterion_holds_more_than_half():
    """0, 10, 20, 30 are one family of four and 90 another: four of five is above half, so 0, 10 and 20, 30 part."""
    assert shape(planted(0, 10, 20, 30, 90)) == groups([[0], [10]], [[20], [30]], [[90]])
    assert planted(0, 10, 20, 30, 90, recluster_all=False).largest_share == pytest.approx(0.8)
    assert planted(0, 10).largest_share == pytest.approx(0.5)


@settings(max_examples=60, deadline=None, suppress_health_check=[HealthCheck.too_slow])
@given(st.lists(st.integers(0, 359), min_size=2, max_size=25))
def test_growth_keeps_its_promises(angles):
    tree = planted(*angles)
    assert sorted(t for fine in tree.fine for t in fine.wordings) == sorted({f"{angle} x" for angle in angles})
    assert sum(fine.support for fine in tree.fine) == len(angles)
    if len(tree.fine) > 1:
        assert tree.largest_share <= 0.5
    assert planted(*reversed(angles)) == tree
    assert RewardTree.from_json(json.loads(json.dumps(tree.to_json()))) == tree


def test_names_and_ids_are_handed_down():
    tree = planted(0, 90)
    tree = replace(tree, coarse=tuple(replace(c, name=f"own_{c.text.split()[0]}") for c in tree.coarse))
    grown = grow(tree, ["4 x", "180 x", "183 x", "182 x"], PLACED)
    assert grown.generation == tree.generation + 1
    names = {coarse.name: sorted(t for f in coarse.fine for t in f.wordings) for coarse in grown.coarse}
    assert names.pop("own_0") == ["0 x", "4 x"]
    assert names.pop("own_90") == ["90 x"]
    assert list(names.values()) == [["180 x", "182 x", "183 x"]]
    assert {f.id for f in tree.fine} < {f.id for f in grown.fine}


def test_merging_two_trees():
    one, other = planted(0, 0, 90), planted(4, 180, 90)
    both = merge(one, other, PLACED)
    assert shape(both) == groups([[0, 4]], [[90]], [[180]])
    assert {f.text: f.support for f in both.fine} == {"0 x": 3, "90 x": 2, "180 x": 1}
    assert shape(merge(other, one, PLACED)) == shape(both)
    assert both.find(one.fine[0].id).wordings == {"0 x": 2, "4 x": 1}
    assert shape(merge(one, empty_tree(PLACED, NEAR), PLACED)) == shape(one)


def test_another_embedder_is_refused():
    tree = planted(0, 90)
    other = Placed()
    other.id = "another"
    for refused in (lambda: grow(tree, ["5 x"], other), lambda: tree.centroids(other), lambda: merge(tree, tree, other)):
        with pytest.raises(PRMError, match="chosen for the embedder 'placed', but 'another'"):
            refused()
    with pytest.raises(PRMError, match="different thresholds"):
        merge(tree, replace(tree, thresholds=Thresholds(0.02, 0.1, 0.1)), PLACED)


def test_an_embedder_that_breaks_its_contract_is_refused():
    broken = Placed()
    broken.embed = lambda texts: np.full((len(texts), 2), np.nan)
    with pytest.raises(PRMError, match="expected finite numbers"):
        grow(empty_tree(broken, NEAR), ["0 x"], broken)


def test_the_file(tmp_path):
    tree = planted(0, 5, 90)
    tree.save(tmp_path / "tree.json")
    assert RewardTree.load(tmp_path / "tree.json") == tree
    assert RewardTree.load(tmp_path / "tree.json").version == tree.version
    content = json.loads((tmp_path / "tree.json").read_text())
    assert content["embedder"] == "placed"
    assert content["thresholds"] == {"merge": 0.01, "coarse": 0.1, "aspect": 0.1}
    for broken, message in (
        ({**content, "format": "reward-tree-9"}, "reward-tree-9"),
        ({k: v for k, v in content.items() if k != "thresholds"}, "thresholds"),
        ({**content, "coarse": [{"name": "a", "fine": []}]}, "no fine criterion"),
        ({**content, "coarse": content["coarse"] * 2}, "occurs 2 times"),
        ([], "list"),
    ):
        (tmp_path / "broken.json").write_text(json.dumps(broken))
        with pytest.raises(DataError, match=message):
            RewardTree.load(tmp_path / "broken.json")
    with pytest.raises(DataError, match="cannot read"):
        RewardTree.load(tmp_path / "missing.json")


def test_the_version_follows_the_content():
    tree = planted(0, 90)
    assert tree.version == planted(90, 0).version
    assert tree.version != planted(0, 91).version
    assert tree.version != replace(tree, thresholds=Thresholds(0.01, 0.1, 0.2)).version


def test_an_unknown_id_is_refused_with_the_nearest():
    tree = planted(0, 90)
    assert tree.find(tree.fine[1].id) is tree.fine[1]
    with pytest.raises(UnknownNameError, match="criterion id"):
        tree.find("C17")


def test_wrong_trees_are_refused():
    fine = Fine("1", "a b c", {"a b c": 1})
    with pytest.raises(ValueError, match="none of its wordings"):
        Fine("1", "a", {"b": 1})
    with pytest.raises(ValueError, match="named at least once"):
        Fine("1", "a", {"a": 0})
    with pytest.raises(ValueError, match="reserved"):
        RewardTree((Coarse("outcome", (fine,)),), NEAR, "placed")
    with pytest.raises(ValueError, match="merge must be below coarse"):
        Thresholds(0.5, 0.4, 0.1)
    with pytest.raises(ValueError, match="empty one"):
        grow(empty_tree(PLACED, NEAR), [" "], PLACED)


def test_average_linkage_by_hand():
    """0, 10, 40 degrees: 0 and 10 join at 1 − cos 10°, 40 joins them at the mean of 1 − cos 40° and 1 − cos 30°."""
    joins = average_linkage(PLACED.embed(["0 x", "10 x", "40 x"]))
    far = 1 - (np.cos(np.radians(40)) + np.cos(np.radians(30))) / 2
    assert [{j.left, j.right} for j in joins] == [{0, 1}, {2, 3}]
    assert [j.distance for j in joins] == pytest.approx([1 - np.cos(np.radians(10)), far])
    assert cut(joins, 3, 0.1).tolist() == [0, 0, 1]
    assert cut(joins, 3, 0.3).tolist() == [0, 0, 0]
    assert halves(PLACED.embed(["0 x", "40 x", "10 x"])).tolist() == [True, False, True]


def test_every_member_of_a_cluster_counts_once():
    """{0, 2} and 10 join, and 40 lies from the three as far as on average, not as {0, 2} and 10 do on average."""
    joins = average_linkage(PLACED.embed(["0 x", "2 x", "10 x", "40 x"]))
    assert joins[-1].distance == pytest.approx(1 - np.cos(np.radians([40, 38, 30])).mean())


def test_adjusted_rand_by_hand():
    """Of four things there are 6 pairs."""
    assert adjusted_rand("aabb", "ccdd") == pytest.approx(1)
    # pairs together in a: 2, in b: 3, in both: 1 of 6; expected 2·3/6 = 1; so 0
    assert adjusted_rand("aabb", "cccd") == pytest.approx(0)
    # in a: 2, in b: 1, in both: 1; expected 1/3; (1 − 1/3) / (3/2 − 1/3) = 4/7
    assert adjusted_rand("aabb", "ccde") == pytest.approx(4 / 7)


def test_slugs_are_new_names():
    assert slug("The recalled fact is still true.", []) == "recalled_fact_still_true"
    assert slug("The recalled fact is still true.", ["recalled_fact_still_true"]) == "recalled_fact_still_true_2"
    assert slug("Outcome", []) == "outcome_2"


# --- the shipped embedder and paraphrases


@pytest.fixture(scope="module")
def hashed():
    embedder = HashedEmbedder()
    return embedder, choose_thresholds(embedder)


def test_the_hashed_embedder_is_a_pure_function_of_the_text():
    texts = ["The step is right.", "No detour is taken.", "???", ""]
    alone = np.concatenate([HashedEmbedder().embed([text]) for text in texts])
    assert np.array_equal(alone, HashedEmbedder().embed(texts))
    assert np.linalg.norm(alone, axis=1) == pytest.approx(np.ones(4))
    code = "from reasongym.prm.tree.embedding import HashedEmbedder as H; print(repr(H().embed(['The step is right.']).sum()))"
    told = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True).stdout.strip()
    assert told == repr(alone[:1].sum())
    assert HashedEmbedder(dimensions=512).id != HashedEmbedder().id


def test_a_criterion_and_its_fault_are_one_topic():
    met, fault, other = embedded(
        HashedEmbedder(), ["The fact is relevant.", "The fact is not relevant.", "The wording has no padding."]
    )
    assert met @ fault == pytest.approx(1)
    assert met @ other < 0.2


def test_the_labelled_set_is_what_it_says():
    criteria = labelled_criteria()
    assert len({c.family for c in criteria}) >= 5
    assert all(len(c.wordings) >= 5 for c in criteria)
    texts = [text for c in criteria for text in (*c.wordings, *c.aspects)]
    assert len(set(texts)) == len(texts)


def test_the_thresholds_were_chosen_on_the_labels(hashed):
    embedder, choice = hashed
    assert 0 < choice.thresholds.merge < choice.thresholds.coarse
    assert choice.chosen["fine_ari"] > 0.7
    assert choice.held_out["fine_ari"] > 0.6
    assert choice.held_out["aspect_f1"] > 0.7
    kept = [replace(c, wordings=c.wordings[:-2], aspects=c.aspects[:-1]) for c in labelled_criteria()]
    for other in (0.3, 0.45, 0.74):
        worse = replace(choice.thresholds, merge=other)
        assert agreement(embedder, kept, worse)["fine_ari"] < choice.chosen["fine_ari"]


def test_another_embedder_gets_other_thresholds(hashed):
    class Squared:
        """The same neighbours, other distances."""

        id = "squared"

        def embed(self, texts):
            vectors = HashedEmbedder().embed(texts)
            return np.concatenate([vectors, np.ones((len(texts), 1))], axis=1)

    assert choose_thresholds(Squared()).thresholds.merge < hashed[1].thresholds.merge / 1.5


def test_insertion_order_matters_little(hashed):
    embedder, choice = hashed
    texts = [text for c in labelled_criteria() for text in c.wordings]

    def parts(order, again):
        tree = grow(empty_tree(embedder, choice.thresholds), [texts[i] for i in order], embedder, recluster_all=again)
        fine = {text: f.id for f in tree.fine for text in f.wordings}
        coarse = {text: c.name for c in tree.coarse for f in c.fine for text in f.wordings}
        assert tree.largest_share <= 0.5
        return [fine[text] for text in texts], [coarse[text] for text in texts]

    orders = [rng(0, i).permutation(len(texts)) for i in range(20)]
    clustered = [parts(order, True) for order in orders]
    assert all(other == clustered[0] for other in clustered)
    plain = [parts(order, False)[0] for order in orders[:6]]
    agreements = [adjusted_rand(plain[i], plain[j]) for i in range(6) for j in range(i)]
    assert max(agreements) < 1  # so the final clustering is what makes order irrelevant
    assert np.mean(agreements) > 0.75


def test_a_picture_is_drawn(tmp_path, hashed):
    pytest.importorskip("matplotlib")
    embedder, choice = hashed
    small = grow(empty_tree(embedder, choice.thresholds), [c.wordings[0] for c in labelled_criteria()[:4]], embedder)
    large = grow(small, [c.wordings[1] for c in labelled_criteria()], embedder)
    for name, tree in (("small", small), ("large", large)):
        draw_tree(tree, tmp_path / f"{name}.png")
        draw_tree(tree, tmp_path / f"{name}.svg")
    heights = [int.from_bytes((tmp_path / f"{name}.png").read_bytes()[20:24], "big") for name in ("small", "large")]
    assert heights[0] < heights[1]
    with pytest.raises(ValueError, match="no picture"):
        draw_tree(empty_tree(embedder, choice.thresholds), tmp_path / "none.png")


def test_growing_brings_nothing_heavy():
    code = (
        "import sys, reasongym.prm.tree, reasongym.prm.weights\n"
        "print(*(m for m in ('torch', 'transformers', 'matplotlib', 'numba') if m in sys.modules))"
    )
    assert subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True).stdout.split() == []
