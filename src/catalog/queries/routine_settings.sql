-- SET clauses of the functions in routines.sql, and whether each is to be hoisted to the transaction.
SELECT
  p.oid,
  clause.setting,
  clause.setting ~ ANY ($2::text[]) AS hoisted
FROM pg_proc p
JOIN pg_namespace n ON n.oid = p.pronamespace
CROSS JOIN LATERAL unnest(p.proconfig) WITH ORDINALITY AS clause (setting, place)
WHERE n.nspname = ANY ($1::text[])
  AND p.prokind = 'f'
ORDER BY p.oid, clause.place;
