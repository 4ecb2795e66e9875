"""Whether a project's billing account can pay: what Redis holds of it, and admission refuses by.

False for all at first; a backend's first sweep finds out.
"""

from alembic import op

revision = "0011"
down_revision = "0010"

UP = ("alter table projects add column balance_spent boolean not null default false",)

DOWN = ("alter table projects drop column balance_spent",)


def upgrade() -> None:
    for statement in UP:
        op.execute(statement)


def downgrade() -> None:
    for statement in DOWN:
        op.execute(statement)
