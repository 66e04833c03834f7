-- The exposed schemas in configuration order. A name without an oid does not exist.
SELECT
  wanted.name,
  n.oid,
  d.description
FROM unnest($1::text[]) WITH ORDINALITY AS wanted (name, place)
LEFT JOIN pg_namespace n ON n.nspname = wanted.name
LEFT JOIN pg_description d ON d.objoid = n.oid AND d.classoid = 'pg_namespace'::regclass
ORDER BY wanted.place;
