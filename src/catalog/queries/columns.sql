-- Columns of the relations in relations.sql.
-- An identity BY DEFAULT shows its sequence as default, ALWAYS and generated columns show none;
-- a column without a default of its own shows its domain's.
-- A type is named where it is the database's own or has a modifier; types.sql has the names of the others. `bpchar` and `bit`
-- without length are called differently with and without asking for it.
-- A default can't mention columns: without a relation to name them PostgreSQL doesn't look each relation up, which would be
-- half of the query's time. No order: the sort would be done before the first row is sent, and all at once.
SELECT
  a.attrelid,
  a.attnum,
  a.attname,
  d.description,
  NOT (a.attnotnull OR (t.typtype = 'd' AND t.typnotnull)) AS nullable,
  a.atttypid,
  t.typtype = 'd' AS of_domain,
  t.typnamespace = 'pg_catalog'::regnamespace AS type_built_in,
  CASE
    WHEN a.atttypmod <> -1
      OR a.atttypid >= 16384
      OR t.typtype IN ('c', 'd')
      OR a.atttypid IN ('pg_catalog.bpchar'::regtype, 'pg_catalog.bpchar[]'::regtype)
      OR a.atttypid IN ('pg_catalog.bit'::regtype, 'pg_catalog.bit[]'::regtype)
    THEN format_type(a.atttypid, a.atttypmod)
  END AS nominal_type,
  CASE
    WHEN truth.modifier = -1 THEN NULL
    WHEN truth.type IN ('pg_catalog.bpchar'::regtype, 'pg_catalog.varchar'::regtype) THEN truth.modifier - 4
    WHEN truth.type IN ('pg_catalog.bit'::regtype, 'pg_catalog.varbit'::regtype) THEN truth.modifier
  END AS max_length,
  CASE
    WHEN t.typtype = 'd' AND ad.adbin IS NULL THEN pg_get_expr(t.typdefaultbin, 0)
    WHEN a.attidentity = 'd' THEN (
      SELECT format('nextval(%L)', s.objid::regclass)
      FROM pg_depend s
      WHERE s.refclassid = 'pg_class'::regclass AND s.refobjid = a.attrelid AND s.refobjsubid = a.attnum
        AND s.classid = 'pg_class'::regclass AND s.deptype = 'i'
    )
    WHEN a.attgenerated <> '' THEN NULL
    ELSE pg_get_expr(ad.adbin, 0)
  END AS default_value
FROM pg_attribute a
JOIN pg_class c ON c.oid = a.attrelid
JOIN pg_namespace n ON n.oid = c.relnamespace
JOIN pg_type t ON t.oid = a.atttypid
LEFT JOIN pg_description d
  ON d.objoid = a.attrelid AND d.objsubid = a.attnum AND d.classoid = 'pg_class'::regclass
LEFT JOIN pg_attrdef ad ON ad.adrelid = a.attrelid AND ad.adnum = a.attnum AND a.atthasdef
CROSS JOIN LATERAL (
  SELECT
    CASE WHEN t.typtype = 'd' THEN t.typbasetype ELSE a.atttypid END AS type,
    CASE WHEN t.typtype = 'd' THEN t.typtypmod ELSE a.atttypmod END AS modifier
) AS truth
WHERE n.nspname = ANY ($1::text[])
  AND c.relkind IN ('r', 'p', 'f', 'v', 'm')
  AND NOT c.relispartition
  AND a.attnum > 0
  AND NOT a.attisdropped;
