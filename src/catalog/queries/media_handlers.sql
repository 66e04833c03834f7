-- Functions and aggregates of the exposed schemas that return a domain named like a media type.
-- An aggregate is found by the rows it takes, a function by its own name.
WITH
-- Read once: the planner expects one media type and would read pg_proc anew for each.
candidates AS MATERIALIZED (
  SELECT
    n.nspname AS schema,
    p.proname AS name,
    p.prokind AS kind,
    p.proretset AS returns_set,
    p.pronargs AS parameters,
    p.proargtypes[0] AS takes,
    p.prorettype AS result
  FROM pg_proc p
  JOIN pg_namespace n ON n.oid = p.pronamespace
  WHERE n.nspname = ANY ($1::text[])
    AND p.prokind IN ('a', 'f')
),
media (type, name) AS (
  SELECT t.oid, lower(t.typname)
  FROM pg_type t
  WHERE t.typtype = 'd'
    AND (t.typname = '*/*' OR t.typname ~* '^[a-z0-9.-]+/[a-z0-9.+-]+$')
)
SELECT
  'aggregate' AS kind,
  c.schema AS routine_schema,
  c.name AS routine_name,
  CASE WHEN any_row THEN NULL ELSE tn.nspname END AS target_schema,
  CASE WHEN any_row THEN NULL ELSE t.typname END AS target_name,
  media.name AS media_type
FROM media
JOIN candidates c ON c.result = media.type
JOIN pg_type t ON t.oid = c.takes
JOIN pg_namespace tn ON tn.oid = t.typnamespace
CROSS JOIN LATERAL (SELECT t.oid = 'pg_catalog.anyelement'::regtype AS any_row) AS takes
WHERE c.kind = 'a'
  AND c.parameters = 1
  AND (any_row OR EXISTS (
    SELECT
    FROM pg_class r
    WHERE r.oid = t.typrelid AND r.relkind IN ('r', 'p', 'f', 'v', 'm')
  ))
UNION ALL
SELECT
  'function',
  c.schema,
  c.name,
  c.schema,
  c.name,
  media.name
FROM media
JOIN candidates c ON c.result = media.type
WHERE c.kind = 'f'
  AND NOT c.returns_set
ORDER BY 1 DESC, 2, 3, 4, 5, 6;
