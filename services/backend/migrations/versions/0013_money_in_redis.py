"""A revision for each billing account, by which Redis holds the newest of its records, and a credit limit.

Every entry of the ledger gives its account a new revision and notifies the backends, whoever writes it.

The view `credits` is the table that 0010 renamed, for tasks of the release before: what they grant goes into the
ledger. `projects.balance_spent` is not read any more; a later release drops it.
"""

from alembic import op

revision = "0013"
down_revision = "0012"

UP = (
    """
    alter table billing_accounts
        add column revision bigint not null default nextval('revisions'),
        add column credit_limit_micros bigint check (credit_limit_micros between 0 and 1000000000000)
    """,
    """
    create function fill_ledger_entry() returns trigger language plpgsql as $$
    begin
        select account_id into new.account_id from projects where project_id = new.project_id;
        new.kind := case when new.amount_micros < 0 then 'adjustment' else 'grant' end;
        new.actor_kind := 'system';
        return new;
    end $$
    """,
    """
    create trigger ledger_entries_filled before insert on ledger_entries
    for each row when (new.account_id is null) execute function fill_ledger_entry()
    """,
    "create view credits as select entry_id as credit_id, project_id, amount_micros, note, created from ledger_entries",
    """
    create function note_ledger_entry() returns trigger language plpgsql as $$
    begin
        update billing_accounts set revision = nextval('revisions') where account_id = new.account_id;
        perform pg_notify('platform_changes', 'account:' || new.account_id);
        return null;
    end $$
    """,
    """
    create trigger ledger_entries_noted after insert on ledger_entries
    for each row execute function note_ledger_entry()
    """,
)

DOWN = (
    "drop trigger ledger_entries_noted on ledger_entries",
    "drop function note_ledger_entry()",
    "drop view credits",
    "drop trigger ledger_entries_filled on ledger_entries",
    "drop function fill_ledger_entry()",
    "alter table billing_accounts drop column revision, drop column credit_limit_micros",
)


def upgrade() -> None:
    for statement in UP:
        op.execute(statement)


def downgrade() -> None:
    for statement in DOWN:
        op.execute(statement)
