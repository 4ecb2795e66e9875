"""The ledger of each billing account: grants, adjustments, refunds and expiries, only ever added to; and what is spent.

Credits become entries of the account that their project belongs to: those above zero are grants, those below are
adjustments. An account's balance is the sum of its entries less `account_spend`, the sum of its requests' charges,
which sqs_updater moves in the statement that moves the requests.

The release before this one grants and reads credits by the table's old name: its sign-ups and balances fail from here
until its tasks are replaced.
"""

from alembic import op

revision = "0010"
down_revision = "0009"

UP = (
    "alter table credits rename to ledger_entries",
    "alter table ledger_entries rename column credit_id to entry_id",
    "alter table ledger_entries rename constraint credits_pkey to ledger_entries_pkey",
    "alter table ledger_entries rename constraint credits_project_id_fkey to ledger_entries_project_id_fkey",
    "drop index credits_by_project",
    # `of_entry`: of an expiry, the grant that expired. `project_id`: through which project it came, for people.
    """
    alter table ledger_entries
        add column account_id uuid references billing_accounts,
        add column kind text not null default 'grant' check (kind in ('grant', 'adjustment', 'refund', 'expiry')),
        add column expires timestamptz,
        add column of_entry uuid references ledger_entries,
        add column actor_kind text not null default 'system',
        add column actor_id uuid,
        alter column project_id drop not null
    """,
    """
    update ledger_entries as entry set account_id = projects.account_id,
        kind = case when amount_micros < 0 then 'adjustment' else 'grant' end
    from projects where projects.project_id = entry.project_id
    """,
    """
    alter table ledger_entries
        alter column account_id set not null,
        alter column kind drop default,
        alter column actor_kind drop default,
        add constraint ledger_entries_sign check (
            case kind when 'expiry' then amount_micros <= 0 and of_entry is not null
                when 'adjustment' then amount_micros <> 0 else amount_micros >= 0 end),
        add constraint ledger_entries_expires check (expires is null or kind = 'grant')
    """,
    "create index ledger_entries_by_account on ledger_entries (account_id, created)",
    # A grant expires once, whichever backends sweep.
    "create unique index ledger_entries_expired on ledger_entries (of_entry) where kind = 'expiry'",
    "create index ledger_entries_expiring on ledger_entries (expires) where expires is not null",
    """
    create trigger ledger_entries_append_only before update or delete on ledger_entries
    for each row execute function refuse_change()
    """,
    """
    create trigger ledger_entries_no_truncate before truncate on ledger_entries
    for each statement execute function refuse_change()
    """,
    # No foreign key, as usage has none.
    """
    create table account_spend (account_id uuid primary key, spent_micros bigint not null) with (fillfactor = 70)
    """,
    """
    insert into account_spend
    select account_id, sum(charge_micros) from usage_daily join projects using (project_id) group by account_id
    """,
)

# Entries without a project cannot be credits again: their accounts' first projects have them.
DOWN = (
    "drop table account_spend",
    "drop trigger ledger_entries_append_only on ledger_entries",
    "drop trigger ledger_entries_no_truncate on ledger_entries",
    """
    update ledger_entries as entry set project_id = first.project_id
    from (select account_id, min(project_id::text)::uuid as project_id from projects group by account_id) as first
    where entry.project_id is null and first.account_id = entry.account_id
    """,
    "delete from ledger_entries where project_id is null",
    "drop index ledger_entries_by_account",
    """
    alter table ledger_entries
        drop column account_id, drop column kind, drop column expires, drop column of_entry, drop column actor_kind,
        drop column actor_id, alter column project_id set not null
    """,
    "alter table ledger_entries rename constraint ledger_entries_project_id_fkey to credits_project_id_fkey",
    "alter table ledger_entries rename constraint ledger_entries_pkey to credits_pkey",
    "alter table ledger_entries rename column entry_id to credit_id",
    "alter table ledger_entries rename to credits",
    "create index credits_by_project on credits (project_id)",
)


def upgrade() -> None:
    for statement in UP:
        op.execute(statement)


def downgrade() -> None:
    for statement in DOWN:
        op.execute(statement)
