"""The order of a chain and what it mentions, worked by hand."""

from __future__ import annotations

import math
from math import isnan

import pytest
from hypothesis import given
from hypothesis import strategies as st

from reasongym.metrics import auc, chain_order, entities, entity_share, wilson


@pytest.mark.parametrize(
    ("chain", "support", "share"),
    [
        ([2, 5, 9], [2, 5, 9], 1),
        ([9, 5, 2], [2, 5, 9], 0),
        ([5, 2, 9], [2, 5, 9], 2 / 3),  # of (5, 2), (5, 9), (2, 9) the first is turned round
        ([5, 7, 2, 1, 9], [2, 5, 9], 2 / 3),  # others are passed over
        ([2, 9, 2, 5], [2, 5, 9], 2 / 3),  # the second recall of 2 does not count: (2, 9), (2, 5) right, (9, 5) wrong
        ([2, 5], [5, 2, 9], 0),  # the order of reasoning need not be that of the text
        ([3, 1, 3], [3, 3, 1], 1),  # sections: of a repeat the first counts
    ],
)
def test_chain_order(chain, support, share):
    assert chain_order(chain, support) == pytest.approx(share)


@pytest.mark.parametrize(("chain", "support"), [([], [1, 2]), ([1, 7], [1, 2]), ([1, 1], [1, 2]), ([1], [1]), ([1, 2], [])])
def test_chain_order_of_fewer_than_two_is_undefined(chain, support):
    assert isnan(chain_order(chain, support))


@given(st.permutations(range(6)), st.permutations(range(6)))
def test_turning_the_chain_round_turns_every_pair_round(chain, support):
    assert chain_order(chain, support) + chain_order(chain[::-1], support) == pytest.approx(1)
    assert chain_order(support, support) == 1


@pytest.mark.parametrize(
    ("text", "found"),
    [
        ("The giant met Jack.", {"jack"}),  # "The" starts the sentence
        ("Jack met the giant.", set()),  # so does "Jack", and nothing else shows that he is a name
        ("Jack ran. Then the giant saw Jack.", {"jack"}),
        ("The sea saw The Queen. The end.", {"queen", "the"}),  # rule 2 takes titles too
        ("He saw the sea. The end came.", set()),
        ("he saw Rose. Rose rose.", {"rose"}),  # "rose" in lower case: not from the start of a sentence, but from within one
        ("Rose rose.", set()),
        ('said he, "Give me the beans."', set()),  # speech starts a sentence
        ("then Mr. Fox, Lady Mary and O'Brien came", {"mr", "fox", "lady", "mary", "o'brien"}),
        ("so I'll take Jack's hen and Anne’s", {"jack", "anne"}),
        ("they paid 1,000 crowns on the 3rd day", {"1000", "3rd"}),
        ("3 men", {"3"}),
        ("in Müllers Mühle\nin Straßburg", {"müllers", "mühle", "straßburg"}),
        ("", set()),
    ],
)
def test_entities(text, found):
    assert entities([text]) == found


def test_names_are_looked_for_in_the_context():
    assert entities(["Jack ran."]) == set()
    assert entities(["Jack ran."], ["The giant saw Jack."]) == {"jack"}
    assert entities(["Jack ran."], ["The giant saw Jack with a jack."]) == set()


def test_entity_share():
    support = ["The giant saw Jack and his 3 hens.", "Then Jack met Anne in London."]  # jack, 3, anne, london
    assert entity_share(["Jack ran to London's gate."], support) == 2 / 4
    assert entity_share(["Jackson had 30 hens."], support) == 0  # whole words, whole numbers
    assert entity_share(["he told ANNE of jack"], support) == 2 / 4  # in any case
    assert entity_share([], support) == 0
    assert entity_share(support, support) == 1
    assert isnan(entity_share(["Jack ran."], ["a giant slept."]))


def test_entity_share_learns_names_from_the_chain_and_the_context():
    assert isnan(entity_share(["a giant"], ["Jack ran."]))
    assert entity_share(["the giant saw Jack"], ["Jack ran."]) == 1
    assert entity_share(["a giant"], ["Jack ran."], context=["the giant saw Jack"]) == 0


@given(st.lists(st.text()), st.lists(st.text()))
def test_entity_share_is_bounded(chain, support):
    share = entity_share(chain, support)
    assert isnan(share) or 0 <= share <= 1
    whole = entity_share(support, support)
    assert isnan(whole) or whole == 1


def test_wilson_by_hand():
    # with z = 2: share 1/2, n = 4: centre 1/2 + 4/8 = 1, half 2 sqrt(1/16 + 4/64) = 2 sqrt(1/8), both over 1 + 4/4 = 2
    assert wilson(2, 4, z=2) == pytest.approx((0.5 - 0.125**0.5, 0.5 + 0.125**0.5))
    assert wilson(0, 0) == (0, 1)


def test_auc_by_hand():
    # positives 0.9, 0.5, negatives 0.5, 0.1: 0.9 beats both, 0.5 ties with one and beats the other: 3.5 of 4 pairs
    assert auc([0.5, 0.9, 0.1, 0.5], [True, True, False, False]) == 3.5 / 4
    assert auc([1, 2, 3], [True, False, False]) == 0
    assert auc([0, 0, 0], [True, False, True]) == 0.5
    assert math.isnan(auc([1, 2], [True, True]))
    with pytest.raises(ValueError, match="a score is NaN"):
        auc([float("nan"), 1], [True, False])
