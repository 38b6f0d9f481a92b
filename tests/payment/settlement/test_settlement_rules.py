"""What a report's lines are matched with, by property."""

from collections import Counter
from datetime import UTC, datetime

from hypothesis import given
from hypothesis import strategies as st

from services.payment.settlement.rules import (
    AGREES,
    AMOUNT,
    CAPTURE,
    CURRENCY,
    DISPUTE,
    DISPUTE_WON,
    FEE,
    MISSING_HERE,
    PAYOUT,
    REFUND,
    Line,
    Ours,
    Owner,
    fee_of,
    judged,
    owner_of,
    unowned,
)
from services.runtime.ids import new_id

NOW = datetime(2026, 1, 1, tzinfo=UTC)
OWNER = Owner(str(new_id()), str(new_id()), str(new_id()), "EUR")
IDS = [str(new_id()) for _ in range(4)]
REFERENCES = ("", "a", "b")
KINDS = (CAPTURE, REFUND, DISPUTE, DISPUTE_WON)
amounts = st.sampled_from([-700, -500, 0, 500, 700])


def ours_of(parts):
    return [
        Ours(kind, own, reference, amount, 1500 if kind == DISPUTE else 0)
        for own, (kind, reference, amount) in zip(IDS, parts, strict=False)
    ]


def lines_of(parts):
    return [
        Line(f"txn_{number}", kind, "ch", reference, currency, gross, fee, NOW)
        for number, (kind, reference, currency, gross, fee) in enumerate(parts)
    ]


books = st.lists(st.tuples(st.sampled_from(KINDS), st.sampled_from(REFERENCES), amounts), max_size=4).map(
    ours_of
)
reports = st.lists(
    st.tuples(
        st.sampled_from((*KINDS, FEE)),
        st.sampled_from((*REFERENCES, *IDS)),
        st.sampled_from(["EUR", "EUR", "EUR", "USD"]),
        amounts,
        st.integers(-50, 50),
    ),
    max_size=6,
).map(lines_of)


@given(books, reports)
def test_each_line_agrees_or_differs_in_one_way_and_nothing_of_ours_is_of_two(ours, lines):
    verdicts = judged(lines, OWNER, ours)

    assert sorted(each.line for each in verdicts) == lines
    used = Counter((each.ours.kind, each.ours.id) for each in verdicts if each.ours)
    assert all(times == 1 for times in used.values())
    for line, owner, mine, reason in verdicts:
        assert owner == OWNER
        assert mine is None or mine.kind == line.kind
        expected = {
            AGREES: line.kind == FEE or (mine and mine.amount == line.gross and line.currency_code == "EUR"),
            AMOUNT: mine and mine.amount != line.gross and line.currency_code == "EUR",
            CURRENCY: mine and line.currency_code != "EUR",
            MISSING_HERE: mine is None,
        }
        assert expected[reason]


@given(books, reports, st.randoms(use_true_random=False))
def test_the_order_of_lines_does_not_matter(ours, lines, random):
    verdicts = judged(lines, OWNER, ours)

    random.shuffle(lines)
    random.shuffle(ours)

    assert judged(lines, OWNER, ours) == verdicts


@given(books, reports)
def test_the_sums_add_up(ours, lines):
    """What the report says is what we have, and the differences, and nothing else."""
    verdicts = [each for each in judged(lines, OWNER, ours) if each.line.currency_code == "EUR"]

    known = sum(each.ours.amount if each.ours else 0 for each in verdicts)
    fees = sum(each.line.amount for each in verdicts if each.line.kind == FEE)
    off = sum(each.line.gross - each.ours.amount for each in verdicts if each.ours and each.reason == AMOUNT)
    missing = sum(each.line.amount for each in verdicts if each.reason == MISSING_HERE)
    assert sum(each.line.amount for each in verdicts) == known + fees + off + missing


@given(books, reports)
def test_no_line_is_left_that_would_agree_with_what_is_left_of_ours(ours, lines):
    verdicts = judged(lines, OWNER, ours)
    used = {(each.ours.kind, each.ours.id) for each in verdicts if each.ours}
    left = {(one.kind, one.amount) for one in ours if (one.kind, one.id) not in used}

    for line, _, mine, _ in verdicts:
        if mine is None and line.currency_code == "EUR":
            assert (line.kind, line.gross) not in left


@given(books, reports)
def test_a_fee_is_posted_in_balance_under_an_id_of_its_own_line(ours, lines):
    posted = {}
    for verdict in judged(lines, OWNER, ours):
        for transaction in fee_of("sandbox", verdict):
            assert transaction.transaction_id not in posted
            posted[transaction.transaction_id] = verdict
            (taken,) = [each.debit - each.credit for each in transaction.postings if each.account == "fees"]
            assert sum(each.debit - each.credit for each in transaction.postings) == 0
            assert taken == verdict.line.cost - (verdict.ours.fee if verdict.ours else 0)
            assert verdict.line.currency_code == "EUR"
            assert fee_of("sandbox", verdict) == (transaction,)
            assert fee_of("stripe", verdict)[0].transaction_id != transaction.transaction_id


def test_what_names_ours_goes_before_what_fits_only():
    ours = [Ours(CAPTURE, IDS[0], "cap_1", 500)]
    fits, names, own = lines_of(
        [(CAPTURE, reference, "EUR", 500, 0) for reference in ("", "cap_1", IDS[0].upper())]
    )

    for lines, first in (([fits], fits), ([fits, names], names), ([fits, own], own)):
        verdicts = {each.line: each.reason for each in judged(lines, OWNER, ours)}
        assert [line for line, reason in verdicts.items() if reason == AGREES] == [first]


def test_a_line_that_names_another_operation_is_not_taken_for_one_of_another_amount():
    ours = [Ours(CAPTURE, IDS[0], "cap_1", 500)]
    (line,) = lines_of([(CAPTURE, "cap_2", "EUR", 700, 0)])

    assert [each.reason for each in judged([line], OWNER, ours)] == [MISSING_HERE]
    assert [each.reason for each in judged([line._replace(reference="")], OWNER, ours)] == [AMOUNT]


def test_a_payout_is_nobodys_and_agrees_all_else_without_a_payment_is_missing_here():
    for kind in (*KINDS, FEE, PAYOUT):
        (line,) = lines_of([(kind, "", "EUR", -500, 7)])
        verdict = unowned(line)
        assert verdict.reason == (AGREES if kind == PAYOUT else MISSING_HERE)
        assert fee_of("sandbox", verdict) == ()
        assert owner_of(line, {}, {"ch": OWNER}) == (None if kind == PAYOUT else OWNER)
