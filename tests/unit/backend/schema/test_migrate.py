"""The migrations' chain, as far as it can be seen without a database."""

from alembic.script import ScriptDirectory

from backend.schema.migrate import alembic_config
from backend.schema.version import NEEDED


def test_the_migrations_form_one_chain_from_the_first_to_the_newest() -> None:
    scripts = ScriptDirectory.from_config(alembic_config())
    assert len(scripts.get_heads()) == 1
    assert scripts.get_bases() == ["0001"]
    chain = [script.revision for script in scripts.walk_revisions()]
    assert chain == sorted(chain, reverse=True)
    assert scripts.get_current_head() == NEEDED, "the revision that readiness needs is the one `migrate` arrives at"
