-- Types with their base type under all domains, and how to_json treats that base:
-- arrays and rows are taken apart; a type made after initdb may bring a function that casts it to json.
-- Rows, and the database's own arrays, are left out (every relation brings one of each): what isn't here is for to_json.
SELECT
  t.oid AS type_oid,
  b.oid AS base_oid,
  format_type(b.oid, NULL) AS base_name,
  bn.nspname = 'pg_catalog' AS base_built_in,
  CASE
    WHEN b.typelem <> 0 AND b.typsubscript = 'pg_catalog.array_subscript_handler'::regproc THEN 'array'
    WHEN b.typtype = 'c' OR b.oid = 'pg_catalog.record'::regtype THEN 'row'
    WHEN b.oid >= 16384 AND EXISTS (
      SELECT
      FROM pg_cast k
      WHERE k.castsource = b.oid AND k.casttarget = 'pg_catalog.json'::regtype AND k.castmethod = 'f'
    ) THEN 'cast'
    ELSE 'plain'
  END AS shape
FROM pg_type t
JOIN pg_type b ON b.oid = CASE
  WHEN t.typtype <> 'd' THEN t.oid
  ELSE (
    WITH RECURSIVE
    descent (type) AS (
      SELECT t.typbasetype
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
JOIN pg_namespace bn ON bn.oid = b.typnamespace
WHERE t.typtype = 'd'
  OR t.typtype <> 'c' AND (t.oid < 16384 OR t.typcategory <> 'A');
