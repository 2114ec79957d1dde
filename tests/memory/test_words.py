"""Words as recall compares them, by script."""

import pytest

from allotrope.memory.recall.sentences import sentences, tokens
from allotrope.memory.recall.words import words


@pytest.mark.parametrize(
    ("one", "other"),
    [
        ("المستودع", "مستودعات"),
        ("والمستودع", "بالمستودع"),
        ("للاجتماع", "الاجتماعات"),
        ("шкаф", "шкафы"),
        ("किताब", "किताबें"),
        ("warehouses", "warehouse"),
        ("１２３", "123"),
    ],
)
def test_forms_of_one_word_are_one(one: str, other: str) -> None:
    assert words(one) == words(other)


def test_a_word_is_cut_where_its_script_changes() -> None:
    assert words("我的iPhone手机") == ["我的", "iphon", "手机"]
    assert words("회의는 5월") == ["회의", "의는", "5", "월"]


def test_signs_on_letters_belong_to_their_word() -> None:
    assert len(words("हिन्दी")) == 1
    assert words("เก่า") != words("เก้า")


def test_numbers_stay_whole_and_signs_stand_alone() -> None:
    assert tokens("-20 °C at 06:42 cost 1,240.50 €") == [
        "-", "20", "°", "c", "at", "06:42", "cost", "1,240.50", "€",
    ]  # fmt: skip
    assert tokens("会议在6月19日") == ["会", "议", "在", "6", "月", "19", "日"]


def test_sentences_end_in_every_script() -> None:
    assert sentences("Dr. Vos rang. Am 3. Mai. 是吗？好。\nنعم؟ لا.") == [
        "Dr. Vos rang.",
        "Am 3. Mai.",
        "是吗？",
        "好。",
        "نعم؟",
        "لا.",
    ]
