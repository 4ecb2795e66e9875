"""What a request named in its query: a model, and features of the public API. Requests of before named neither.

Constant defaults: no row is written anew.
"""

from alembic import op

revision = "0009"
down_revision = "0008"

UP = (
    """
    alter table usage_requests
        add column model text not null default '',
        add column features text[] not null default '{}'
    """,
)

DOWN = ("alter table usage_requests drop column features, drop column model",)


def upgrade() -> None:
    for statement in UP:
        op.execute(statement)


def downgrade() -> None:
    for statement in DOWN:
        op.execute(statement)
