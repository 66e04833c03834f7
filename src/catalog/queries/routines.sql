-- Functions of the exposed schemas; trigger functions, procedures, aggregates and window functions are no endpoints.
-- The result is named by its base type; one with OUT, INOUT or TABLE parameters is a row.
WITH RECURSIVE
descent (type, step) AS (
  SELECT t.oid, t.typbasetype
  FROM pg_type t
  WHERE t.typtype = 'd'
  UNION ALL
  SELECT d.type, t.typbasetype
  FROM descent d
  JOIN pg_type t ON t.oid = d.step
  WHERE t.typtype = 'd'
),
base_of_domain (type, base) AS (
  SELECT d.type, d.step
  FROM descent d
  JOIN pg_type t ON t.oid = d.step
  WHERE t.typtype <> 'd'
)
SELECT
  p.oid,
  n.nspname,
  p.proname,
  d.description,
  p.proretset,
  p.prorettype,
  rn.nspname AS result_schema,
  coalesce(rc.relname, rt.typname) AS result_name,
  rt.typtype = 'c' OR coalesce(p.proargmodes::text[] && '{t,b,o}', false) AS result_is_row,
  bd.base IS NOT NULL AS result_is_domain,
  p.provolatile,
  p.provariadic <> 0 AS has_variadic
FROM pg_proc p
JOIN pg_namespace n ON n.oid = p.pronamespace
LEFT JOIN base_of_domain bd ON bd.type = p.prorettype
JOIN pg_type rt ON rt.oid = coalesce(bd.base, p.prorettype)
JOIN pg_namespace rn ON rn.oid = rt.typnamespace
LEFT JOIN pg_class rc ON rc.oid = rt.typrelid
LEFT JOIN pg_description d ON d.objoid = p.oid AND d.classoid = 'pg_proc'::regclass
WHERE n.nspname = ANY ($1::text[])
  AND p.prokind = 'f'
  AND rt.oid <> 'pg_catalog.trigger'::regtype
ORDER BY n.nspname, p.proname, p.oid;
