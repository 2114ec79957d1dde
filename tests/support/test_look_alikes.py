"""Unicode's list of confusable characters, and a fence that none of them opens."""

import unicodedata

import pytest
from confusable_homoglyphs.confusables import confusables_data

from allotrope.support.fencing import TAG, fence, neutralise
from allotrope.support.look_alikes import OF


def listed(plain: str) -> set[str]:
    """The single characters that Unicode calls confusable with one."""
    found = {entry["c"] for entry in confusables_data.get(plain, [])}
    return {sign for sign in found if len(sign) == 1 and not sign.isascii()}


@pytest.mark.parametrize("plain", OF)
def test_the_list_is_unicodes(plain: str) -> None:
    kept = {sign for sign in listed(plain) if not base(sign).isascii()}
    zeros = {sign for sign in listed(plain) if base(sign) == "0" and plain in "oO"}
    assert set(OF[plain]) == kept | zeros


def base(sign: str) -> str:
    """What a character is by Unicode's own decomposition."""
    return unicodedata.normalize("NFKD", sign)[0]


def spellings(word: str) -> list[str]:
    """A word with one of its characters in another form, in every way that Unicode lists."""
    found = []
    for at, letter in enumerate(word):
        for form in listed(letter) | listed(letter.upper()):
            if unicodedata.category(form)[0] not in "MC":
                found.append(word[:at] + form + word[at + 1 :])
    return found


@pytest.mark.parametrize("opening", [f"<{TAG}", f"</{TAG}"])
def test_no_look_alike_opens_the_fence(opening: str) -> None:
    through = [one for one in spellings(opening) if neutralise(f"{one} id=x>") == f"{one} id=x>"]
    assert through == []
    assert fence(f"{opening}>", name="n").count(opening) == 1  # the fence's own


@pytest.mark.parametrize("token", ["<end_of_turn>", "<reponame>", "[INST]", "<tool_call>"])
def test_no_look_alike_makes_a_control_token(token: str) -> None:
    # a capital I or a one for an l is another token to every tokenizer
    forms = [one for one in spellings(token) if not unicodedata.normalize("NFKD", one).isascii()]
    forms = [one for one in forms if not {"\u01c0", "\u2223"} & {*one}]  # bars, which `<|…|>` needs
    assert [one for one in forms if neutralise(one) == one] == []
