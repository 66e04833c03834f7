-- Relations whose rows may run code that users wrote, and which could so set a response header: views and row-level
-- security policies that lean on a function, an operator or a type (its casts, its domain's checks) that isn't PostgreSQL's
-- own, or that call what sets a setting or runs a text as SQL; relations with columns of a type whose values run such code
-- when they are shown or compared; views over any of these. Where somebody gave PostgreSQL's own types an operator or a cast
-- of their own, any comparison may run it: then all relations are among them.
WITH RECURSIVE
-- Coded: base types (their operators may be anything), row types, types with a cast to json. Domains and arrays have a source.
types AS NOT MATERIALIZED (
  SELECT
    t.oid,
    CASE WHEN t.typbasetype <> 0 THEN t.typbasetype WHEN t.typcategory = 'A' THEN t.typelem END AS source,
    t.oid >= 16384 AND (
      t.typtype = 'c'
      OR t.typtype = 'b' AND t.typcategory <> 'A'
      OR t.oid IN (SELECT castsource FROM pg_cast WHERE casttarget = 'json'::regtype)
    ) AS coded
  FROM pg_type t
),
-- These, and what is made of them: a longer chain of domains and arrays counts as coded unseen. (Of a recursion's rows the
-- planner expects millions, and compiles for a second.)
coded_types AS (
  SELECT made.oid
  FROM types made
  LEFT JOIN types first ON first.oid = made.source
  LEFT JOIN types second ON second.oid = first.source
  LEFT JOIN types third ON third.oid = second.source
  WHERE made.coded OR first.coded OR second.coded OR third.coded OR third.source IS NOT NULL
),
-- Rules and policies, by what they depend on.
leaning AS (
  SELECT DISTINCT d.classid, d.objid
  FROM pg_depend d
  LEFT JOIN pg_type t ON d.refclassid = 'pg_type'::regclass AND t.oid = d.refobjid
  WHERE d.classid IN ('pg_rewrite'::regclass, 'pg_policy'::regclass)
    AND d.refobjid >= 16384
    AND (d.refclassid IN ('pg_proc'::regclass, 'pg_operator'::regclass) OR t.typtype <> 'e')
),
-- Those of PostgreSQL's functions that set a setting or run a text as SQL, as parse trees name them. (A tree is unpacked once,
-- hence the OFFSET, and looked through in a third of the time that writing the view out takes.)
telling AS (
  SELECT ':funcid ' || oid || ' ' AS needle
  FROM pg_proc
  WHERE oid < 16384 AND (proname IN ('set_config', 'ts_stat', 'ts_rewrite') OR proname ~ '_to_xml')
),
users_code AS (
  SELECT p.oid
  FROM pg_proc p
  JOIN pg_language l ON l.oid = p.prolang
  WHERE p.oid >= 16384 AND l.lanname NOT IN ('c', 'internal')
),
everywhere AS (
  SELECT EXISTS (
      SELECT FROM pg_operator o JOIN users_code ON users_code.oid = o.oprcode WHERE o.oprleft < 16384 AND o.oprright < 16384
    ) OR EXISTS (
      SELECT FROM pg_cast c JOIN users_code ON users_code.oid = c.castfunc WHERE c.castsource < 16384 AND c.casttarget < 16384
    ) AS holds
),
calls AS (
  SELECT r.ev_class AS relation
  FROM pg_rewrite r
  JOIN pg_class c ON c.oid = r.ev_class AND c.relkind = 'v' AND c.oid >= 16384
  WHERE ('pg_rewrite'::regclass::oid, r.oid) IN (SELECT classid, objid FROM leaning)
    OR EXISTS (
      SELECT
      FROM (SELECT r.ev_action::text || '' AS tree OFFSET 0) unpacked, telling
      WHERE strpos(unpacked.tree, telling.needle) > 0
    )
  UNION
  SELECT p.polrelid
  FROM pg_policy p
  WHERE ('pg_policy'::regclass::oid, p.oid) IN (SELECT classid, objid FROM leaning)
    OR EXISTS (
      SELECT
      FROM (SELECT p.polqual::text || '' AS tree OFFSET 0) unpacked, telling
      WHERE strpos(unpacked.tree, telling.needle) > 0
    )
  UNION
  SELECT d.objid
  FROM pg_depend d
  JOIN pg_class c ON c.oid = d.objid AND c.relkind IN ('r', 'p', 'f', 'v', 'm')
  WHERE d.refclassid = 'pg_type'::regclass
    AND d.refobjid IN (SELECT oid FROM coded_types)
    AND d.classid = 'pg_class'::regclass
    AND d.objsubid > 0
  UNION
  SELECT c.oid
  FROM pg_class c
  CROSS JOIN everywhere
  WHERE everywhere.holds AND c.relkind IN ('r', 'p', 'f', 'v', 'm')
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
