-- Functions of the exposed schemas, in no order; trigger functions, procedures, aggregates and window functions are no endpoints.
-- The result is named by its base type; one with OUT, INOUT or TABLE parameters is a row.
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
  declared.typtype = 'd' AS result_is_domain,
  p.provolatile,
  p.provariadic <> 0 AS has_variadic
FROM pg_proc p
JOIN pg_namespace n ON n.oid = p.pronamespace
JOIN pg_type declared ON declared.oid = p.prorettype
JOIN pg_type rt ON rt.oid = CASE
  WHEN declared.typtype <> 'd' THEN declared.oid
  ELSE (
    WITH RECURSIVE
    descent (type) AS (
      SELECT declared.typbasetype
      UNION ALL
      SELECT step.typbasetype
      FROM descent
      JOIN pg_type step ON step.oid = descent.type
      WHERE step.typtype = 'd'
    )
    SELECT bottom.oid
    FROM descent
    JOIN pg_type bottom ON bottom.oid = descent.type
    WHERE bottom.typtype <> 'd'
  )
END
JOIN pg_namespace rn ON rn.oid = rt.typnamespace
LEFT JOIN pg_class rc ON rc.oid = rt.typrelid
LEFT JOIN pg_description d ON d.objoid = p.oid AND d.objsubid = 0 AND d.classoid = 'pg_proc'::regclass
WHERE n.nspname = ANY ($1::text[])
  AND p.prokind = 'f'
  AND rt.oid <> 'pg_catalog.trigger'::regtype;
