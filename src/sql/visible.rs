//! What a role may see of a schema, for the root document.

/// Rows of (relation, routine's oid, type of one of its parameters) for what the current role holds any privilege on:
/// a row for each relation; one for each input parameter of a routine, in their order, and one without a type for a
/// routine that takes none. The types are named as the transaction's search path shows them. Parameter: the schema.
pub const VISIBLE: &str = "\
select c.relname::text as relation, null::text as routine, null::text as type, 0::bigint as place \
from pg_catalog.pg_class c join pg_catalog.pg_namespace n on n.oid = c.relnamespace \
where n.nspname = $1 and c.relkind in ('r', 'p', 'f', 'v', 'm') and not c.relispartition \
and (pg_catalog.pg_has_role(c.relowner, 'usage') \
or pg_catalog.has_table_privilege(c.oid, 'select, insert, update, delete, truncate, references, trigger') \
or pg_catalog.has_any_column_privilege(c.oid, 'select, insert, update, references')) \
union all \
select null, p.oid::text, pg_catalog.format_type(a.type, null), a.place \
from pg_catalog.pg_proc p join pg_catalog.pg_namespace n on n.oid = p.pronamespace \
left join lateral pg_catalog.unnest(p.proargtypes::pg_catalog.oid[]) with ordinality as a (type, place) on true \
where n.nspname = $1 and p.prokind = 'f' and pg_catalog.has_function_privilege(p.oid, 'execute') \
order by routine, place";
