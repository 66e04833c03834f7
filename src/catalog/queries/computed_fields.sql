-- Functions of one row that return one value: columns that are not stored.
SELECT
  pn.nspname AS function_schema,
  p.proname AS function_name,
  an.nspname AS origin_schema,
  ac.relname AS origin_name,
  p.prorettype,
  format_type(p.prorettype, NULL) AS type_name
FROM pg_proc p
JOIN pg_namespace pn ON pn.oid = p.pronamespace
JOIN pg_type taken ON taken.oid = p.proargtypes[0]
JOIN pg_class ac ON ac.oid = taken.typrelid
JOIN pg_namespace an ON an.oid = ac.relnamespace
WHERE p.prokind = 'f'
  AND NOT p.proretset
  AND p.pronargs >= 1
  AND p.pronargs - p.pronargdefaults <= 1
  AND (pn.nspname = ANY ($1::text[]) OR pn.nspname = ANY ($2::text[]))
  AND an.nspname = ANY ($1::text[])
  AND p.prorettype <> 'pg_catalog.void'::regtype
  AND ac.relkind IN ('r', 'p', 'f', 'v', 'm')
ORDER BY pn.nspname, p.proname, an.nspname, ac.relname, p.pronargs;
