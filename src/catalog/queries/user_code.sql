-- Relations whose rows may run code that users wrote, and which could so set a response header: views and row-level
-- security policies that call a function that isn't PostgreSQL's own or that mention set_config, tables with columns of a
-- base type that isn't PostgreSQL's own (its operators may be anything), and views over any of these.
WITH RECURSIVE calls AS (
  SELECT r.ev_class AS relation
  FROM pg_rewrite r
  JOIN pg_class c ON c.oid = r.ev_class AND c.relkind = 'v'
  WHERE EXISTS (
      SELECT FROM pg_depend d
      WHERE d.classid = 'pg_rewrite'::regclass
        AND d.objid = r.oid
        AND d.refclassid = 'pg_proc'::regclass
        AND d.refobjid >= 16384
    )
    OR pg_get_viewdef(r.ev_class) LIKE '%set_config%'
  UNION
  SELECT p.polrelid
  FROM pg_policy p
  WHERE EXISTS (
      SELECT FROM pg_depend d
      WHERE d.classid = 'pg_policy'::regclass
        AND d.objid = p.oid
        AND d.refclassid = 'pg_proc'::regclass
        AND d.refobjid >= 16384
    )
    OR pg_get_expr(p.polqual, p.polrelid) LIKE '%set_config%'
  UNION
  SELECT a.attrelid
  FROM pg_attribute a
  JOIN pg_type t ON t.oid = a.atttypid
  JOIN pg_class c ON c.oid = a.attrelid
  WHERE a.attnum > 0
    AND NOT a.attisdropped
    AND a.atttypid >= 16384
    AND t.typtype IN ('b', 'c')
    AND t.typcategory <> 'A'
    AND c.relkind IN ('r', 'p', 'f', 'v', 'm')
),
reached AS (
  SELECT relation FROM calls
  UNION
  SELECT r.ev_class
  FROM reached
  JOIN pg_depend d
    ON d.refclassid = 'pg_class'::regclass
   AND d.refobjid = reached.relation
   AND d.classid = 'pg_rewrite'::regclass
  JOIN pg_rewrite r ON r.oid = d.objid
)
SELECT relation FROM reached;
