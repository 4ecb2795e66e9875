"""What customers are notified of: events, whom they are sent to, and what became of it.

An event is written in the transaction of what it is about (an outbox), with its deliveries. `alert_moves` names what
has moved money or audio since thresholds were looked at last: sqs_updater adds to it with the rows, and the ledger's
trigger.
"""

from alembic import op

revision = "0019"
down_revision = "0018"

UP = (
    # A webhook. `types`: null: all. `secret` signs; `former_secret` signs too until `former_until`.
    """
    create table alert_endpoints (
        endpoint_id uuid primary key default uuidv7(),
        project_id uuid not null references projects,
        url text not null,
        description text not null,
        types text[],
        secret text not null,
        former_secret text,
        former_until timestamptz,
        failing_since timestamptz,
        disabled timestamptz,
        created timestamptz not null default now()
    )
    """,
    "create index alert_endpoints_by_project on alert_endpoints (project_id, endpoint_id)",
    # Of a project, or of a billing account (then without a project). `dedup`: what happens once: threshold and period.
    """
    create table alert_events (
        event_id uuid primary key default uuidv7(),
        type text not null,
        account_id uuid not null references billing_accounts,
        project_id uuid references projects,
        dedup text unique,
        data jsonb not null,
        created timestamptz not null default now()
    )
    """,
    "create index alert_events_by_project on alert_events (project_id, event_id)",
    "create index alert_events_by_account on alert_events (account_id, event_id) where project_id is null",
    "create index alert_events_by_age on alert_events (created)",
    # `lane`: the webhook, or the person whom a mail is for. `due`: when to try, or when whoever tries now must be dead.
    """
    create table alert_deliveries (
        delivery_id uuid primary key default uuidv7(),
        event_id uuid not null references alert_events on delete cascade,
        lane uuid not null,
        kind text not null check (kind in ('webhook', 'mail')),
        state text not null default 'waiting' check (state in ('waiting', 'delivered', 'failed')),
        attempts integer not null default 0,
        claim uuid,
        due timestamptz not null default now(),
        created timestamptz not null default now(),
        attempted timestamptz,
        took_ms integer,
        status smallint,
        response text,
        error text,
        unique (event_id, lane)
    )
    """,
    "create index alert_deliveries_waiting on alert_deliveries (lane, due) where state = 'waiting'",
    "create index alert_deliveries_by_lane on alert_deliveries (lane, delivery_id)",
    # Below which balances an account is notified, in micro-dollars.
    """
    alter table billing_accounts add column balance_thresholds bigint[] not null default '{10000000}'
        check (cardinality(balance_thresholds) <= 5)
    """,
    # Whether a balance was below a threshold when it was looked at last, and how often it has fallen below it.
    """
    create table balance_marks (
        account_id uuid not null references billing_accounts,
        threshold_micros bigint not null,
        below boolean not null,
        times integer not null,
        primary key (account_id, threshold_micros)
    )
    """,
    # Rows come and go within a second.
    """
    create table alert_moves (
        move_id bigint generated always as identity primary key,
        project_id uuid,
        account_id uuid
    ) with (autovacuum_vacuum_scale_factor = 0, autovacuum_vacuum_threshold = 1000)
    """,
    # No foreign key: prices are only ever added, and it would change how they refuse to be truncated.
    # A price of which the accounts of its plan are notified, page by page. `after`: the last of them so far.
    """
    create table price_announcements (
        price_id bigint primary key,
        after uuid,
        done boolean not null default false
    )
    """,
    """
    create function announce_price() returns trigger language plpgsql as $$
    begin
        if new.effective_from > now() then
            insert into price_announcements (price_id) values (new.price_id);
        end if;
        return null;
    end $$
    """,
    "create trigger prices_announced after insert on prices for each row execute function announce_price()",
    """
    create or replace function note_ledger_entry() returns trigger language plpgsql as $$
    begin
        update billing_accounts set revision = nextval('revisions') where account_id = new.account_id;
        insert into alert_moves (account_id) values (new.account_id);
        perform pg_notify('platform_changes', 'account:' || new.account_id);
        return null;
    end $$
    """,
    "create index api_keys_expiring on api_keys (expires) where expires is not null and revoked is null",
)

DOWN = (
    "drop index api_keys_expiring",
    """
    create or replace function note_ledger_entry() returns trigger language plpgsql as $$
    begin
        update billing_accounts set revision = nextval('revisions') where account_id = new.account_id;
        perform pg_notify('platform_changes', 'account:' || new.account_id);
        return null;
    end $$
    """,
    "drop trigger prices_announced on prices",
    "drop function announce_price()",
    "drop table price_announcements",
    "drop table alert_moves",
    "drop table balance_marks",
    "alter table billing_accounts drop column balance_thresholds",
    "drop table alert_deliveries",
    "drop table alert_events",
    "drop table alert_endpoints",
)


def upgrade() -> None:
    for statement in UP:
        op.execute(statement)


def downgrade() -> None:
    for statement in DOWN:
        op.execute(statement)
