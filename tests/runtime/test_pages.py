"""Page tokens are signed, and bound to the query that they go on with."""

import base64

import pytest
from commerce.common.v1.error_reason_pb2 import ErrorReason
from commerce.customer.v1.customer_service_pb2 import ListCustomersRequest

from services.runtime.pages import Pages
from services.runtime.refusals import Refusal

STORE = "018f0000-0000-7000-8000-000000000001"
PAGES = Pages("a key")


def request(token="", **changed):
    return ListCustomersRequest(**({"store_id": STORE, "query": "ada", "page_token": token} | changed))


def token():
    return PAGES.token(request(page_size=10), ["position", "1"])


def test_a_token_leads_back_to_its_position():
    assert PAGES.position(request(token())) == ["position", "1"]


def test_without_a_token_a_list_begins_at_its_start():
    assert PAGES.position(request()) is None


def test_a_page_may_have_another_size_than_the_one_before():
    assert PAGES.position(request(token(), page_size=99)) == ["position", "1"]


def test_a_token_of_one_replica_is_good_at_another():
    assert Pages("a key").position(request(token())) == ["position", "1"]


@pytest.mark.parametrize("more", [False, True])
def test_a_page_leads_on_to_the_row_after_its_last_if_there_is_one(more):
    asked = request(page_size=3)
    found = list(range(3 + more))

    page, leads_on = PAGES.cut(asked, found, lambda row: [str(row)])

    assert page == [0, 1, 2]
    assert PAGES.position(request(leads_on)) == (["2"] if more else None)


def test_an_empty_list_is_one_empty_page():
    assert PAGES.cut(request(), list[str](), lambda row: [row]) == ([], "")


def _forged():
    good = token()
    raw = base64.urlsafe_b64decode(good)
    moved = base64.urlsafe_b64encode(raw[:16] + raw[16:].replace(b"1", b"2")).decode()
    return [
        request(good, query="bo"),
        request(good, store_id=STORE.replace("1", "2")),
        request(Pages("another key").token(request(), ["position", "1"])),
        request(moved),
        request(good[:10]),
        request("x"),
        request("ünreadable"),
        request("WyJwb3NpdGlvbiJd"),
    ]


@pytest.mark.parametrize("bad", _forged())
def test_any_other_token_is_refused(bad):
    with pytest.raises(Refusal) as refusal:
        PAGES.position(bad)

    assert refusal.value.reason == ErrorReason.ERROR_REASON_PAGE_TOKEN_INVALID
    assert [field for field, _ in refusal.value.violations] == ["page_token"]


def test_a_page_has_fifty_rows_where_nothing_is_said():
    assert (PAGES.size(request()), PAGES.size(request(page_size=7))) == (50, 7)
