-- Functions of one row that return rows of a relation; one row where it is no set or is declared ROWS 1.
SELECT
  pn.nspname AS function_schema,
  p.proname AS function_name,
  an.nspname AS origin_schema,
  ac.relname AS origin_name,
  rn.nspname AS target_schema,
  rc.relname AS target_name,
  NOT p.proretset OR p.prorows = 1 AS to_one
FROM pg_proc p
JOIN pg_namespace pn ON pn.oid = p.pronamespace
JOIN pg_type taken ON taken.oid = p.proargtypes[0]
JOIN pg_class ac ON ac.oid = taken.typrelid
JOIN pg_namespace an ON an.oid = ac.relnamespace
JOIN pg_type returned ON returned.oid = p.prorettype
JOIN pg_class rc ON rc.oid = returned.typrelid
JOIN pg_namespace rn ON rn.oid = rc.relnamespace
WHERE p.pronargs = 1
  AND pn.nspname = ANY ($1::text[])
  AND an.nspname = ANY ($1::text[])
  AND rn.nspname = ANY ($1::text[])
  AND ac.relkind IN ('r', 'p', 'f', 'v', 'm')
  AND rc.relkind IN ('r', 'p', 'f', 'v', 'm')
ORDER BY pn.nspname, p.proname, an.nspname, ac.relname;
