"""Texts that people type: one spelling of what looks the same, and what may not be in them."""

import unicodedata

import pytest
from commerce.catalog.v1.catalog_service_pb2 import CreateProductRequest, ImportProductsRequest, ImportRow
from commerce.common.v1.postal_address_pb2 import PostalAddress
from commerce.options.v1 import options_pb2
from commerce.order.v1.order_service_pb2 import CreateOrderRequest
from hypothesis import given
from hypothesis import strategies as some

from services.runtime.texts import folded, misspelled, searchable, spell, spelled

NAME, CODE, PROSE = options_pb2.TEXT_NAME, options_pb2.TEXT_CODE, options_pb2.TEXT_PROSE
KINDS = some.sampled_from([NAME, CODE, PROSE])


def holding(kind, text):
    """A request with a text of a kind, and the text's path."""
    if kind == PROSE:
        return CreateProductRequest(attributes={"care": text}), "attributes[care]"
    if kind == CODE:
        return CreateProductRequest(sku=text), "sku"
    return CreateProductRequest(name=text), "name"


@pytest.mark.parametrize(
    ("typed", "kept"),
    [
        ("Mug", "Mug"),
        ("  Mug ", "Mug"),
        ("\ufeffMug\u200b", "Mug"),
        ("\u00a0Mug\u3000\t\r\n", "Mug"),
        ("Zoe\u0308", "Zoë"),
        ("\u212bngstrom", "Ångstrom"),
        ("Big  mug", "Big  mug"),
        ("❤\ufe0f", "❤\ufe0f"),
        ("🫨", "🫨"),
        ("\u202bMug\u202c", "\u202bMug\u202c"),
    ],
)
def test_are_kept_in_one_spelling(typed, kept):
    assert spelled(NAME, typed) == kept


@pytest.mark.parametrize(
    "typed",
    [
        *(
            "",
            " ",
            "  ",
            "\u200b",
            "\u2800",
            "\u3164",
            "\u115f\u1160",
            "\uffa0",
            "\u00a0",
            "\u3000",
            "\ufeff",
        ),
        *(
            "\u2060",
            "\u00ad",
            "\u034f",
            "\ufe0f",
            "\u200d",
            "\u0301",
            "\u17b4",
            "\u180e",
            "\U000e0041",
            "\n\t",
        ),
        *("\U0001d159", "\u200b \u2800", "\u202e"),
    ],
)
@pytest.mark.parametrize("kind", [NAME, CODE, PROSE])
def test_are_empty_where_nothing_can_be_seen(kind, typed):
    assert spelled(kind, typed) == ""


def test_prose_has_one_kind_of_line_end():
    assert spelled(PROSE, "one\r\ntwo\rthree\u2028four\n") == "one\ntwo\nthree\nfour"


@given(KINDS, some.text())
def test_that_were_spelled_stay_so(kind, text):
    once = spelled(kind, text)

    assert spelled(kind, once) == once
    assert unicodedata.is_normalized("NFC", once)


@pytest.mark.parametrize(
    ("kind", "text", "held"),
    [
        (NAME, "Mug\u202egpj", "U+202E RIGHT-TO-LEFT OVERRIDE"),
        (NAME, "Mug\u2066", "U+2066 LEFT-TO-RIGHT ISOLATE"),
        (NAME, "Big\nmug", "U+000A CONTROL CHARACTER"),
        (NAME, "Big\tmug", "U+0009 CONTROL CHARACTER"),
        (NAME, "Big\x07mug", "U+0007 CONTROL CHARACTER"),
        (NAME, "Big\x85mug", "U+0085 CONTROL CHARACTER"),
        (CODE, "D\u200b1", "U+200B ZERO WIDTH SPACE"),
        (CODE, "D\u00ad1", "U+00AD SOFT HYPHEN"),
        (CODE, "D\u28001", "U+2800 BRAILLE PATTERN BLANK"),
        (PROSE, "one\x1btwo", "U+001B CONTROL CHARACTER"),
        (PROSE, "one\u202btwo", "U+202B RIGHT-TO-LEFT EMBEDDING"),
    ],
)
def test_that_hold_what_nobody_can_see_are_refused(kind, text, held):
    request, path = holding(kind, text)

    assert misspelled(request) == [(path, f"must not hold {held}")]


@pytest.mark.parametrize(
    ("kind", "text"),
    [
        (NAME, "Kaffee\u00admaschine"),
        (NAME, "می\u200cخواهم"),
        (NAME, "👩\u200d🔧"),
        (PROSE, "one\n\ttwo"),
        (CODE, "Größe 1"),
    ],
)
def test_that_hold_what_people_write_are_taken(kind, text):
    request, _ = holding(kind, text)

    spell(request)

    assert misspelled(request) == []
    assert request == holding(kind, text)[0]


def test_are_spelled_wherever_they_stand():
    address = PostalAddress(
        recipient=" Zoe\u0308", lines=[" Main Street 1\t", "\u200b"], postal_code=" 1010 "
    )
    order = CreateOrderRequest(delivery_address=address, coupon_code="\u00a0SPRING-10 ")
    rows = ImportProductsRequest(rows=[ImportRow(sku="D1 "), ImportRow(name="\ufeffMug")])

    spell(order)
    spell(rows)

    assert order.coupon_code == "SPRING-10"
    assert order.delivery_address == PostalAddress(
        recipient="Zoë", lines=["Main Street 1", ""], postal_code="1010"
    )
    assert [(row.sku, row.name) for row in rows.rows] == [("D1", ""), ("", "Mug")]


def test_keys_of_a_map_are_spelled_and_never_lost():
    request = CreateProductRequest(attributes={"colour ": " blue", "Größe": "1", "Gro\u0308ße": "2"})

    spell(request)

    assert request.attributes == {"colour": "blue", "Größe": "1", "Gro\u0308ße": "2"}
    assert misspelled(request) == [("attributes[Gro\u0308ße]", "is there twice, in two spellings")]


@pytest.mark.parametrize(
    ("one", "other"),
    [
        ("MUG-1", "mug-1"),
        ("MUG-1", "ＭＵＧ－１"),
        ("MUG-1", "MUG–1"),
        ("Big mug", "Big  \u00a0mug"),
        ("Women's", "Women’s"),
        ("Straße", "STRASSE"),
        ("Zoë", "Zoe\u0308"),
        ("Kaffee\u00admaschine", "Kaffeemaschine"),
    ],
)
def test_that_look_the_same_fold_to_one(one, other):
    assert folded(one) == folded(other)


@pytest.mark.parametrize(
    ("one", "other"), [("Cafe", "Café"), ("D1", "D 1"), ("D1", "D-1"), ("o", "ø"), ("D1", "D11"), ("l", "1")]
)
def test_that_look_different_do_not(one, other):
    assert folded(one) != folded(other)


@given(some.text())
def test_what_is_folded_or_searchable_stays_as_it_is(text):
    for makes in (folded, searchable):
        found = makes(text)
        assert makes(found) == found
        assert "\n" not in found
    assert searchable(text.casefold()) == searchable(text)
