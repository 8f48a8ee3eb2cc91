"""Texts that a lexical retriever confuses."""

from __future__ import annotations

import pytest

from crd.clients import similarity

ORDERS = "get_order Returns one order of the shop by its number, with its lines."
FILLER = {
    "stock": "check_stock Says how many pieces of a product are on the shelf.",
    "ticket": "open_ticket Opens a support ticket for a customer.",
    "report": "sales_report Sums up the revenue of a month by region.",
}


def alike(*texts: str) -> list[tuple[str, str]]:
    named = {str(number): text for number, text in enumerate(texts)}
    return [(key, other) for key, other, _ in similarity.nearest({**FILLER, **named})]


@pytest.mark.parametrize(
    "other",
    [
        ORDERS,
        "get_orders Returns one order of the shop by its number, with its lines.",
        "GetOrder returns one order of the shop, by its number, with its line",
        "order_get With its lines: returns one order of the shop by its number",
    ],
)
def test_the_same_words_are_confused(other: str) -> None:
    assert alike(ORDERS, other) == [("1", "0")]


@pytest.mark.parametrize(
    "other",
    [
        "list_orders Lists the orders of a customer, newest first.",
        "cancel_order Cancels one order of the shop by its number before it is shipped.",
        (
            "get_order Returns one order of the shop by its number, with its lines. Use it after search_orders; for "
            "the parcels of an order use track_order, and for its invoice get_invoice."
        ),
        "",
    ],
)
def test_other_words_are_not(other: str) -> None:
    assert alike(ORDERS, other) == []


def test_words_of_scripts_without_spaces_count_one_by_one() -> None:
    assert alike("按编号返回商店的一个订单", "按编号返回商店的一个订单。") == [("1", "0")]
    assert alike("按编号返回商店的一个订单", "列出客户的所有发票") == []


def test_nothing_and_one_text_are_not_confused() -> None:
    assert list(similarity.nearest({})) == []
    assert list(similarity.nearest({"a": ORDERS})) == []
    assert list(similarity.nearest({"a": "", "b": ""})) == []


def test_of_many_texts_each_is_compared_with_few(monkeypatch: pytest.MonkeyPatch) -> None:
    """Three thousand texts of common words and one rare one; the equal ones among them are found."""
    words = [f"word{letter}" for letter in "abcdefghij"]
    texts = {f"t{n:04}": f"{' '.join(words[n * step % 10] for step in range(1, 9))} {n}" for n in range(3000)}
    texts["z"] = texts["t0042"]
    compared = 0
    score = min

    def count(*values: float) -> float:
        nonlocal compared
        compared += 1
        return score(*values)

    monkeypatch.setattr(similarity, "min", count, raising=False)
    assert ("z", "t0042") in [(key, other) for key, other, _ in similarity.nearest(texts)]
    assert compared < 100 * len(texts)


def test_of_long_texts_of_random_words_each_is_compared_with_few(monkeypatch: pytest.MonkeyPatch) -> None:
    """Each shares rare words with nearly all others, and many of them with a single one."""
    digits = str.maketrans("0123456789", "abcdefghij")
    words = [f"w{number:03}".translate(digits) for number in range(900)]
    # Numbers that look like random ones.
    chosen = [words[number * number * 7919 % 104729 % len(words)] for number in range(300 * 60)]
    texts = {f"t{number}": " ".join(chosen[number * 60 : number * 60 + 60]) for number in range(300)}
    texts["z"] = f"{texts['t42']} more"
    compared = 0
    score = min

    def count(*values: float) -> float:
        nonlocal compared
        compared += 1
        return score(*values)

    monkeypatch.setattr(similarity, "min", count, raising=False)
    assert [(key, other) for key, other, _ in similarity.nearest(texts)] == [("z", "t42")]
    assert compared < 75 * len(texts)
