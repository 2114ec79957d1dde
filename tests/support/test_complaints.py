"""What pydantic refuses is said in words, the same wherever somebody's input is read."""

import pytest
from pydantic import BaseModel, ConfigDict, Field, ValidationError, field_validator

from allotrope.support.complaints import complaints


class Row(BaseModel):
    model_config = ConfigDict(extra="forbid")
    share: float = Field(ge=0)
    name: str = "x"

    @field_validator("name")
    @classmethod
    def short(cls, value: str) -> str:
        if len(value) > 10:
            raise ValueError("It must have at most 10 letters.")
        return value


class Table(BaseModel):
    rows: list[Row]


@pytest.mark.parametrize(
    ("row", "field", "message"),
    [
        ({}, "rows[1].share", "it is missing"),
        ({"share": 1, "shape": 2}, "rows[1].shape", "no such field; check its spelling"),
        ({"share": -1}, "rows[1].share", "input should be greater than or equal to 0 (it is -1)"),
        ({"share": {}}, "rows[1].share", "input should be a valid number"),
        (
            {"share": 1, "name": "n" * 90},
            "rows[1].name",
            f"it must have at most 10 letters (it is '{'n' * 80}')",
        ),
    ],
)
def test_a_refused_value_is_named_with_its_place(
    row: dict[str, object], field: str, message: str
) -> None:
    with pytest.raises(ValidationError) as caught:
        Table.model_validate({"rows": [{"share": 1}, row]})
    (one,) = complaints(caught.value)
    assert (one.field, one.message) == (field, message)
    assert "nnn" not in one.plain
