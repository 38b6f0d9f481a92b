"""The circuit breaker, by property."""

from hypothesis import given
from hypothesis import strategies as st

from services.payment.gateways.breaker_rules import OK, OPEN, TRYING, Breaker

MOST, REST = 3, 10.0
# A question begins, or the n-th of those under way ends well, badly, or with nobody waiting; seconds pass between.
begins = st.tuples(st.just("begin"), st.just(0), st.none())
ends = st.tuples(st.just("end"), st.integers(0, 9), st.sampled_from([True, False, False, False, None]))
histories = st.lists(
    st.tuples(st.one_of(begins, begins, ends), st.sampled_from([0.0, 0.1, 3.0, 11.0])), max_size=80
)


class Story:
    """A breaker in use, with the questions under way."""

    def __init__(self):
        self.breaker, self.now, self.under_way = Breaker(most_failures=MOST, rest_seconds=REST), 0.0, []

    def happen(self, event):
        (what, which, good), seconds = event
        self.now += seconds
        before = self.breaker
        if what == "begin":
            begun = before.begun(self.now)
            if begun is not None:
                self.breaker = begun
                self.under_way.append(begun.trial)
            return before, begun
        if self.under_way:
            number = self.under_way.pop(which % len(self.under_way))
            self.breaker = before.ended(good, number, self.now)
            return before, (good, number)
        return before, None


@given(histories)
def test_while_it_rests_nothing_is_asked_and_at_most_one_is_tried(history):
    story = Story()
    for event in history:
        before, told = story.happen(event)
        if event[0][0] == "begin":
            allowed = before.health(story.now) == OK or (
                before.health(story.now) == TRYING and not before.trial
            )
            assert (told is not None) == allowed
        trials = [number for number in story.under_way if number and number == story.breaker.trial]
        assert len(trials) <= 1
        assert bool(trials) == bool(story.breaker.trial)


@given(histories)
def test_a_success_closes_it_and_nothing_else_does(history):
    story = Story()
    for event in history:
        before, told = story.happen(event)
        if event[0][0] == "end" and told:
            after = story.breaker.health(story.now)
            if told[0]:
                assert after == OK
            elif before.health(story.now) != OK:
                assert after != OK


@given(histories)
def test_it_opens_after_so_many_failures_in_a_row_and_no_sooner(history):
    story, in_a_row = Story(), 0
    for event in history:
        before, told = story.happen(event)
        if event[0][0] == "end" and told:
            good, _ = told
            in_a_row = 0 if good else in_a_row + (good is False)
            if in_a_row < MOST:
                assert story.breaker.health(story.now) == OK
            elif before.health(story.now) == OK:
                assert story.breaker.health(story.now) == OPEN


@given(histories)
def test_it_is_tried_again_once_it_has_rested(history):
    story = Story()
    for event in history:
        story.happen(event)
    rested = story.now + REST
    if story.breaker.trial:
        story.breaker = story.breaker.ended(False, story.breaker.trial, rested)
        rested += REST
    assert story.breaker.begun(rested) is not None


def test_a_trial_that_fails_has_it_rest_again_and_one_that_nobody_waited_for_does_not():
    breaker = Breaker(most_failures=1, rest_seconds=REST).ended(False, 0, 0.0)
    assert breaker.health(9.9) == OPEN
    assert breaker.begun(9.9) is None

    trial = breaker.begun(10.0)
    assert trial is not None
    assert trial.health(10.0) == TRYING
    assert trial.begun(10.0) is None
    assert trial.ended(False, trial.trial, 12.0).health(21.9) == OPEN
    assert trial.ended(None, trial.trial, 12.0).begun(12.0) is not None
    assert trial.ended(True, trial.trial, 12.0).health(12.0) == OK


def test_what_was_asked_before_it_opened_is_no_trial():
    breaker = Breaker(most_failures=1, rest_seconds=REST).ended(False, 0, 0.0).begun(10.0)
    assert breaker is not None
    assert breaker.ended(False, 0, 10.0) == breaker
    assert breaker.ended(None, 0, 10.0) == breaker
