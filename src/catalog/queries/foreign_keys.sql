-- Foreign keys of all schemas, one row for each pair of columns, in no order; those that partitions inherit are left out.
-- Where the columns are exactly those of a primary key or a unique constraint, a row has one partner at most.
SELECT
  k.oid,
  k.conname,
  k.conrelid,
  tn.nspname AS table_schema,
  t.relname AS table_name,
  k.confrelid,
  fn.nspname AS target_schema,
  f.relname AS target_name,
  EXISTS (
    SELECT
    FROM pg_constraint u
    WHERE u.conrelid = k.conrelid AND u.contype IN ('p', 'u') AND u.conkey @> k.conkey AND u.conkey <@ k.conkey
  ) AS one_to_one,
  a.attnum AS column_number,
  a.attname AS column_name,
  b.attnum AS target_column_number,
  b.attname AS target_column_name,
  pair.place
FROM pg_constraint k
JOIN pg_class t ON t.oid = k.conrelid
JOIN pg_namespace tn ON tn.oid = t.relnamespace
JOIN pg_class f ON f.oid = k.confrelid
JOIN pg_namespace fn ON fn.oid = f.relnamespace
CROSS JOIN LATERAL unnest(k.conkey, k.confkey) WITH ORDINALITY AS pair (attnum, target_attnum, place)
JOIN pg_attribute a ON a.attrelid = k.conrelid AND a.attnum = pair.attnum
JOIN pg_attribute b ON b.attrelid = k.confrelid AND b.attnum = pair.target_attnum
WHERE k.contype = 'f'
  AND k.conparentid = 0;
