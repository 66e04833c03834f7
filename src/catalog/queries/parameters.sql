-- Input and output parameters of the functions in routines.sql, in declared order.
-- A type whose length would silently cut the argument is also given without that length.
SELECT
  p.oid,
  item.mode,
  p.proargnames[item.place] AS name,
  item.type,
  format_type(item.type, NULL) AS type_name,
  CASE item.type
    WHEN 'pg_catalog.bit'::regtype THEN 'bit varying'
    WHEN 'pg_catalog.bit[]'::regtype THEN 'bit varying[]'
    WHEN 'pg_catalog.bpchar'::regtype THEN 'character varying'
    WHEN 'pg_catalog.bpchar[]'::regtype THEN 'character varying[]'
    ELSE format_type(item.type, NULL)
  END AS type_without_length,
  count(*) FILTER (WHERE item.mode IN ('i', 'b', 'v'))
    OVER (PARTITION BY p.oid ORDER BY item.place) <= p.pronargs - p.pronargdefaults AS required
FROM pg_proc p
JOIN pg_namespace n ON n.oid = p.pronamespace
CROSS JOIN LATERAL (
  SELECT u.type, u.place, coalesce(u.mode, 'i') AS mode
  FROM unnest(coalesce(p.proallargtypes, p.proargtypes::oid[]), p.proargmodes) WITH ORDINALITY AS u (type, mode, place)
) AS item
WHERE n.nspname = ANY ($1::text[])
  AND p.prokind = 'f'
ORDER BY p.oid, item.place;
