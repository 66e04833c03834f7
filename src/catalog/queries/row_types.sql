-- Columns of the row types that functions of the exposed schemas return, in no order.
SELECT
  t.oid,
  a.attnum,
  a.attname,
  a.atttypid
FROM (
  SELECT DISTINCT p.prorettype AS type
  FROM pg_proc p
  JOIN pg_namespace n ON n.oid = p.pronamespace
  WHERE n.nspname = ANY ($1::text[]) AND p.prokind = 'f'
) AS returned
JOIN pg_type t ON t.oid = returned.type
JOIN pg_attribute a ON a.attrelid = t.typrelid
WHERE t.typtype = 'c'
  AND a.attnum > 0
  AND NOT a.attisdropped;
