-- A schema `wide` of :relations relations: tables of six columns with a primary key and two foreign keys each, a view over
-- every tenth, and a function for each view. Nothing is random. Loaded by a superuser beside the shop, whose roles it uses.
-- In batches of a hundred: in one transaction the tables would hold more locks than PostgreSQL has by default.

\set ON_ERROR_STOP on
set client_min_messages = warning;

create schema wide;
grant usage on schema wide to anon;
create table wide.item (id int primary key, name text not null, price numeric);
insert into wide.item select n, 'item ' || n, n * 1.5 from generate_series(1, 10000) n;

select string_agg(format($$
    create table wide.t%1$s (id int primary key, one int references wide.%2$I, other int references wide.%3$I,
      name text not null default 'nameless', made_at timestamptz default now(), tags text[]);
    comment on table wide.t%1$s is 'Number %1$s';
  $$, n, case when n = 1 then 'item' else 't' || (n * 7 % (n - 1) + 1) end,
  case when n = 1 then 'item' else 't' || (n * 13 % (n - 1) + 1) end), '' order by n)
  from generate_series(1, :relations / 11 * 10) n group by n / 100 order by n / 100
\gexec
select string_agg(format($$
    create view wide.v%1$s as select id, name, one from wide.t%2$s where made_at > '2020-01-01';
    create function wide.f%1$s(a int, b text default 'x') returns setof wide.t%2$s stable language sql
      as 'select * from wide.t%2$s where id = a';
  $$, n, n * 10), '' order by n)
  from generate_series(1, :relations / 11) n group by n / 100 order by n / 100
\gexec
grant select on all tables in schema wide to anon;
analyze;
