-- Parse trees of views, in no order: the exposed ones, and those on the extra search path that may lie between a view and its
-- tables. Rules first: among the relations, which the planner would begin with, few are views (hence the OFFSET).
SELECT
  c.oid,
  n.nspname,
  c.relname,
  n.nspname = ANY ($1::text[]) AS exposed,
  r.ev_action::text AS tree
FROM (SELECT ev_class, ev_action FROM pg_rewrite WHERE rulename = '_RETURN' OFFSET 0) AS r
JOIN pg_class c ON c.oid = r.ev_class
JOIN pg_namespace n ON n.oid = c.relnamespace
WHERE c.relkind IN ('v', 'm')
  AND (n.nspname = ANY ($1::text[]) OR n.nspname = ANY ($2::text[]));
