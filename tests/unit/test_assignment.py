"""Partitions at a rebalance: every worker has its share of every topic, and few move."""

from __future__ import annotations

import pytest
from aiokafka.coordinator.assignors.roundrobin import RoundRobinPartitionAssignor
from hypothesis import given
from hypothesis import strategies as st

from streams.assignment import FewMove, share_out

TOPICS = ("manifests", "express-cargo", "passengers", "screened", "filtered", "inspection-results")

Shares = dict[str, dict[str, list[int]]]


def shared(members: list[str], claims: Shares, count: int = 12) -> Shares:
    return share_out({topic: list(range(count)) for topic in TOPICS}, {one: set(TOPICS) for one in members}, claims)


def moved(before: Shares, after: Shares) -> int:
    """Partitions whose owner is another one, of those whose owner is still there."""
    owner = {(topic, n): member for member, held in before.items() for topic, numbers in held.items() for n in numbers}
    return sum(
        owner[topic, n] in after and owner[topic, n] != member
        for member, held in after.items() for topic, numbers in held.items() for n in numbers
    )  # fmt: skip


def test_when_a_worker_goes_only_its_partitions_move() -> None:
    three = shared(["a", "b", "c"], {})
    two = shared(["a", "c"], three)
    assert moved(three, two) == 0
    assert {len(held[topic]) for held in two.values() for topic in TOPICS} == {6}


def test_when_a_worker_comes_it_gets_its_share_of_every_topic_and_nothing_else_moves() -> None:
    two = shared(["a", "b"], {})
    three = shared(["a", "b", "new"], two)
    assert moved(two, three) == 4 * len(TOPICS)
    assert {len(held[topic]) for held in three.values() for topic in TOPICS} == {4}


members = st.lists(st.sampled_from("abcdefgh"), min_size=1, max_size=6, unique=True)


@given(st.lists(members, min_size=1, max_size=6), st.integers(1, 13))
def test_every_partition_has_one_owner_and_shares_differ_by_one_at_most(crews: list[list[str]], count: int) -> None:
    shares: Shares = {}
    for crew in crews:
        shares = shared(crew, {member: held for member, held in shares.items() if member in crew}, count)
        for topic in TOPICS:
            assert sorted(n for held in shares.values() for n in held[topic]) == list(range(count))
            sizes = [len(held[topic]) for held in shares.values()]
            assert max(sizes) - min(sizes) <= 1


@given(members, members)
def test_two_who_claim_the_same_get_it_once(first: list[str], second: list[str]) -> None:
    before = shared(first, {})
    everything = {topic: list(range(12)) for topic in TOPICS}
    shares = shared(second, {**before, second[0]: everything})
    for topic in TOPICS:
        assert sorted(n for held in shares.values() for n in held[topic]) == list(range(12))


def test_workers_with_other_steps_get_only_the_topics_of_theirs() -> None:
    shares = share_out(
        {"screened": [0, 1, 2], "filtered": [0, 1, 2]}, {"a": {"screened"}, "b": {"screened", "filtered"}}, {}
    )
    assert shares["b"]["filtered"] == [0, 1, 2]
    assert len(shares["a"]["screened"]) + len(shares["b"]["screened"]) == 3
    assert len(shares["a"]["screened"]) == 2


class OneTopic:
    """Metadata of a cluster with one topic of four partitions."""

    unauthorized_topics: frozenset[str] = frozenset()

    def partitions_for_topic(self, topic: str) -> set[int] | None:
        return {0, 1, 2, 3} if topic == "screened" else None


def test_a_member_that_was_thrown_out_claims_nothing() -> None:
    evicted = False
    assignor = FewMove(lambda: evicted)
    alone = assignor.assign(OneTopic(), {"me": assignor.metadata(["screened"])})
    assignor.on_assignment(alone["me"])
    assert b"[0,1,2,3]" in assignor.metadata(["screened"]).user_data
    evicted = True
    assert assignor.metadata(["screened"]).user_data == b"{}"


def test_claims_of_another_kind_of_worker_are_no_claims() -> None:
    assignor = FewMove(lambda: False)
    mine = assignor.metadata(["screened", "gone"])
    mine.user_data = b"\x00\xff"
    assigned = assignor.assign(OneTopic(), {"me": mine})
    assert [at.partition for at in assigned["me"].partitions()] == [0, 1, 2, 3]


def test_who_gives_out_partitions_says_which_topics_are_hidden_from_it(caplog: pytest.LogCaptureFixture) -> None:
    assignor, cluster = FewMove(lambda: False), OneTopic()
    group = {"me": assignor.metadata(["screened"]), "other": assignor.metadata(["filtered"])}
    assignor.assign(cluster, group)
    assert not caplog.records
    cluster.unauthorized_topics = frozenset({"filtered", "casework"})
    assignor.assign(cluster, group)
    (said,) = caplog.messages
    assert "partitions of filtered: " in said
    assert "ops/acls.yaml" in said


def test_workers_with_round_robin_and_ours_can_be_in_one_group_whichever_leads() -> None:
    ours = FewMove(lambda: False)
    assert ours.name == RoundRobinPartitionAssignor.name
    group = {"old": RoundRobinPartitionAssignor.metadata(["screened"]), "new": ours.metadata(["screened"])}
    for leader in (ours, RoundRobinPartitionAssignor):
        assigned = leader.assign(OneTopic(), group)
        assert sorted(len(one.partitions()) for one in assigned.values()) == [2, 2]
        ours.on_assignment(assigned["new"])
