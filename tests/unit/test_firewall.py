"""Names of a farm's nftables tables."""

from hypothesis import given
from hypothesis import strategies as st

from farm.config import Config
from farm.nodes.drain import drain_table
from farm.serve.firewall import table

names = st.from_regex(r"[a-z0-9]([a-z0-9-]{0,30}[a-z0-9])?", fullmatch=True)


@given(names, names)
def test_no_table_of_one_farm_is_a_table_of_another(one: str, other: str) -> None:
    tables = [
        name(Config(name=farm)) for farm in dict.fromkeys([one, other, f"{one}-drain"]) for name in (table, drain_table)
    ]

    assert len(tables) == len({*tables})
