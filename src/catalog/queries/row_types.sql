-- Columns of the row types that functions of the exposed schemas return.
SELECT
  t.oid,
  a.attname,
  a.atttypid
FROM pg_type t
JOIN pg_attribute a ON a.attrelid = t.typrelid
WHERE t.typtype = 'c'
  AND a.attnum > 0
  AND NOT a.attisdropped
  AND t.oid IN (
    SELECT p.prorettype
    FROM pg_proc p
    JOIN pg_namespace n ON n.oid = p.pronamespace
    WHERE n.nspname = ANY ($1::text[]) AND p.prokind = 'f'
  )
ORDER BY t.oid, a.attnum;
