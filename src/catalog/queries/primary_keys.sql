-- Columns of primary keys with their places in the key, in no order, of exposed tables and of those that exposed views may stand on.
SELECT
  k.conrelid,
  n.nspname,
  c.relname,
  a.attnum,
  a.attname,
  member.place
FROM pg_constraint k
JOIN pg_class c ON c.oid = k.conrelid
JOIN pg_namespace n ON n.oid = c.relnamespace
CROSS JOIN LATERAL unnest(k.conkey) WITH ORDINALITY AS member (attnum, place)
JOIN pg_attribute a ON a.attrelid = k.conrelid AND a.attnum = member.attnum
WHERE k.contype = 'p'
  AND c.relkind IN ('r', 'p')
  AND n.nspname NOT IN ('pg_catalog', 'information_schema')
  AND NOT pg_is_other_temp_schema(n.oid);
