-- Relations by the rules and row-level security policies that they have: whether one runs code that users wrote, and so may set a
-- response header, and on which relations it stands. Such a rule leans on a function, an operator or a type (its casts, its
-- domain's checks) that isn't PostgreSQL's own, or calls what sets a setting or runs a text as SQL.
WITH
-- PostgreSQL's functions of that kind, as parse trees name them. (A tree is unpacked once, hence the OFFSET, and looked through
-- in a third of the time that writing the view out takes.)
telling AS MATERIALIZED (
  SELECT ':funcid ' || oid || ' ' AS needle
  FROM pg_proc
  WHERE oid < 16384 AND (proname IN ('set_config', 'ts_stat', 'ts_rewrite') OR proname ~ '_to_xml')
),
ruled AS (
  SELECT
    r.ev_class AS relation,
    'pg_rewrite'::regclass AS kind,
    r.oid,
    CASE WHEN c.relkind = 'v' THEN r.ev_action END AS tree,
    c.relkind = 'v' AS judged
  FROM pg_rewrite r
  JOIN pg_class c ON c.oid = r.ev_class
  WHERE r.ev_class >= 16384
  UNION ALL
  SELECT p.polrelid, 'pg_policy'::regclass, p.oid, p.polqual, true
  FROM pg_policy p
)
SELECT
  ruled.relation,
  ruled.judged AND (
    EXISTS (
      SELECT
      FROM pg_depend d
      LEFT JOIN pg_type t ON d.refclassid = 'pg_type'::regclass AND t.oid = d.refobjid
      WHERE d.classid = ruled.kind
        AND d.objid = ruled.oid
        AND d.refobjid >= 16384
        AND (d.refclassid IN ('pg_proc'::regclass, 'pg_operator'::regclass) OR t.typtype <> 'e')
    )
    OR EXISTS (
      SELECT
      FROM (SELECT ruled.tree::text || '' AS text OFFSET 0) unpacked, telling
      WHERE strpos(unpacked.text, telling.needle) > 0
    )
  ) AS coded,
  ARRAY(
    SELECT DISTINCT d.refobjid
    FROM pg_depend d
    WHERE d.classid = ruled.kind AND d.objid = ruled.oid AND d.refclassid = 'pg_class'::regclass
  ) AS stands_on
FROM ruled;
