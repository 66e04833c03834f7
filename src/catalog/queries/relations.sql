-- Relations of the exposed schemas, in no order; partitions are reached through their parent.
-- What a relation can take: tables everything, views and foreign tables what their rules, triggers or wrapper allow
-- (a bit for each command: 4 UPDATE, 8 INSERT, 16 DELETE), materialized views nothing.
SELECT
  c.oid,
  n.nspname,
  c.relname,
  c.relkind,
  d.description,
  taken.commands & 8 <> 0 AS insertable,
  taken.commands & 4 <> 0 AS updatable,
  taken.commands & 16 <> 0 AS deletable
FROM pg_class c
JOIN pg_namespace n ON n.oid = c.relnamespace
LEFT JOIN pg_description d
  ON d.objoid = c.oid AND d.objsubid = 0 AND d.classoid = 'pg_class'::regclass
CROSS JOIN LATERAL (
  SELECT CASE
    WHEN c.relkind IN ('r', 'p') THEN 28
    WHEN c.relkind IN ('v', 'f') THEN pg_relation_is_updatable(c.oid, true)
    ELSE 0
  END AS commands
) AS taken
WHERE n.nspname = ANY ($1::text[])
  AND c.relkind IN ('r', 'p', 'f', 'v', 'm')
  AND NOT c.relispartition;
