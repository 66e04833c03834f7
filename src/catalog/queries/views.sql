-- Parse trees of views: the exposed ones, and those on the extra search path that may lie between a view and its tables.
SELECT
  c.oid,
  n.nspname,
  c.relname,
  n.nspname = ANY ($1::text[]) AS exposed,
  r.ev_action::text AS tree
FROM pg_class c
JOIN pg_namespace n ON n.oid = c.relnamespace
JOIN pg_rewrite r ON r.ev_class = c.oid AND r.rulename = '_RETURN'
WHERE c.relkind IN ('v', 'm')
  AND (n.nspname = ANY ($1::text[]) OR n.nspname = ANY ($2::text[]))
ORDER BY n.nspname, c.relname;
