"""Move a project to another billing account: what no statement says of it yet is charged to that one, too.

What a closed month's statement says stays with the account that it was closed for. While the project moves, no reading
is merged: whoever merges holds `usage_daily` from before they look up who pays.
"""

from alembic import op

revision = "0020"
down_revision = "0019"

UP = (
    """
    create function move_project(moved uuid, target uuid) returns bigint language plpgsql security definer
    set search_path = public, pg_temp set lock_timeout = '3s' as $$
    declare
        source uuid;
        micros bigint;
    begin
        lock table usage_daily in share row exclusive mode;
        select account_id into strict source from projects where project_id = moved for no key update;
        select coalesce((select sum(charge_micros) from usage_daily where project_id = moved), 0)
            - coalesce((select sum(charge_micros) from statement_lines where project_id = moved), 0) into micros;
        insert into account_spend (account_id, spent_micros)
        select account_id, 0 from unnest(array[source, target]) as account_id order by account_id
        on conflict do nothing;
        update account_spend set spent_micros = spent_micros
            + case when account_id = target then micros else -micros end
        where account_id in (source, target) and source <> target;
        update projects set account_id = target, revision = nextval('revisions') where project_id = moved;
        return micros;
    end $$
    """,
    "revoke execute on function move_project(uuid, uuid) from public",
)

DOWN = ("drop function move_project(uuid, uuid)",)


def upgrade() -> None:
    for statement in UP:
        op.execute(statement)


def downgrade() -> None:
    for statement in DOWN:
        op.execute(statement)
