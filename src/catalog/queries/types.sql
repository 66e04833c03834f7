-- Types with their base type under all domains, and how to_json treats that base:
-- arrays and rows are taken apart; a type made after initdb may bring a function that casts it to json.
-- Rows, and the database's own arrays, are left out (every relation brings one of each): what isn't here is for to_json.
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
based (type, base) AS (
  SELECT t.oid, t.oid
  FROM pg_type t
  WHERE t.typtype NOT IN ('c', 'd')
    AND (t.oid < 16384 OR t.typcategory <> 'A')
  UNION ALL
  SELECT d.type, d.step
  FROM descent d
  JOIN pg_type t ON t.oid = d.step
  WHERE t.typtype <> 'd'
)
SELECT
  based.type AS type_oid,
  based.base AS base_oid,
  format_type(based.base, NULL) AS base_name,
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
FROM based
JOIN pg_type b ON b.oid = based.base
JOIN pg_namespace bn ON bn.oid = b.typnamespace;
