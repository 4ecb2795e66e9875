from backend.statements.models import Statement


def test_every_amount_is_a_whole_number_of_micro_dollars() -> None:
    amounts = {name: field.annotation for name, field in Statement.model_fields.items() if name.endswith("_micros")}
    assert len(amounts) == 5
    assert set(amounts.values()) == {int}
